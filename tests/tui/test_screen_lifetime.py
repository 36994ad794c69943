"""Screens come and go while their reads are under way: nothing fails, and nothing stays."""

from __future__ import annotations

import ast
import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen

import lora_tui.screens
from lora_tui.app import LoraTuiApp
from lora_tui.cache.cache_file import delete_cache
from tests.tui.accounts import FakeAccountWriters
from tests.tui.conftest import Open, until
from tests.tui.every_screen import SCREENS, Way, fill, with_every_screen
from tests.tui.library import FakeWriters, Library, notice_row
from tests.tui.whole_model import MODEL

pytestmark = pytest.mark.slow

SCREENS_DIRECTORY = Path(lora_tui.screens.__file__).parent
SIZES = ((80, 24), (70, 20))
TURNS = (2, 0, 4)
"""Turns of the event loop from a screen's end to the end of what it has begun: beyond all."""
ROUNDS = 2
MOST_ALIVE = 1
"""Of all that were opened: the last one may still be told of its end."""
MOST_OBJECTS = 2_000
"""That one opening may leave. A kept screen leaves ten thousand, its drawn lines as many."""


class Held:
    """Holds each thread at its beginning, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = threading.Event()
        self._threads: list[threading.Thread] = []
        run = threading.Thread.run

        def held(thread: threading.Thread) -> None:
            self._go.wait()
            run(thread)

        start = threading.Thread.start

        def started(thread: threading.Thread) -> None:
            self._threads.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "run", held)
        monkeypatch.setattr(threading.Thread, "start", started)

    def let_go(self) -> int:
        """How many there were; what each has found is on its way to the event loop by then."""
        ended, self._threads = self._threads, []
        self._go.set()
        for thread in ended:
            thread.join()
        self._go = threading.Event()
        return len(ended)


@pytest.fixture
def app(library: Library, writers: FakeWriters, open_app: Open, tmp_path: Path) -> LoraTuiApp:
    """On some of everything."""
    fill(library)
    return with_every_screen(library, writers, tmp_path, lambda *_, **options: open_app(**options))


async def leave(pilot: Pilot[None], below: Screen[Any]) -> None:
    """Back to that screen."""
    while pilot.app.screen is not below:
        await pilot.press("escape")


async def test_a_screen_that_is_left_while_something_is_under_way_harms_nothing(
    library: Library, app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reads end, the cache changes, the window and the colours change, at every moment."""
    held = Held(monkeypatch)
    async with app.run_test(size=SIZES[0]) as pilot:
        listing, changes = app.screen, itertools.count()
        for way in SCREENS.values():
            await pilot.press(*way.below)
            below = app.screen
            for turns in TURNS if way.reads else TURNS[:1]:
                await pilot.press(*way.opens, *way.works)
                assert app.screen is not below
                change = next(changes)
                library.put_notices(notice_row(10 + change))
                app.poll_cache()
                size = Size(*SIZES[change % len(SIZES)])
                app.post_message(events.Resize(size, size))
                if change % 10 == 0:
                    app.theme = app.next_theme()
                app.screen.dismiss()
                for _ in range(turns):
                    await asyncio.sleep(0)
                held.let_go()
                await pilot.pause()
                await leave(pilot, below)
            await leave(pilot, listing)


async def test_a_screen_can_be_left_before_it_was_drawn(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZES[0]) as pilot:
        listing = app.screen
        for turns in range(12):
            app.open_model(MODEL)
            for _ in range(turns):
                await asyncio.sleep(0)
            app.screen.dismiss()
            await pilot.pause()
            assert app.screen is listing


@pytest.mark.parametrize("name", ["model", "compare", "settings", "login"])
async def test_the_application_can_be_left_while_a_screen_reads(
    app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    held, way = Held(monkeypatch), SCREENS[name]
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press(*way.below, *way.opens, *way.works)
        pilot.app.exit()
        await asyncio.sleep(0)
        assert held.let_go() > 0


async def test_signing_out_while_a_model_is_read_ends_in_order(
    app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press(*SCREENS["model"].opens, "ctrl+l", "y", "n")
        held.let_go()
        await until(pilot, lambda: app.signed_out)
        assert app.login is not None
        asked = cast("FakeAccountWriters", app.login.writers).asked
        assert asked == ["start", "sign_out"]


async def test_a_read_that_outlasts_the_application_does_not_bring_a_removed_cache_back(
    app: LoraTuiApp, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press(*SCREENS["model"].opens)
    delete_cache(library.path)
    assert held.let_go() > 0
    assert not library.path.exists()


@pytest.fixture
def older_objects_left_out() -> Iterator[None]:
    """A collection looks at the objects of this test only, not at those of the whole run."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("older_objects_left_out")
async def test_no_screen_stays_in_memory_once_it_was_left(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZES[0]) as pilot:
        listing = app.screen

        async def look(way: Way, rounds: int) -> list[weakref.ref[Screen[Any]]]:
            below, seen = app.screen, []
            for _ in range(rounds):
                await pilot.press(*way.opens)
                await until(pilot, lambda: not list(app.screen.workers))
                seen.append(weakref.ref(app.screen))
                await leave(pilot, below)
            return seen

        def are_gone(seen: list[weakref.ref[Screen[Any]]], objects: int) -> bool:
            """Not at once: asyncio keeps a timer that was stopped until it would have rung.

            The one screen that may live may have more objects than the limit.
            """
            gc.collect()
            alive = sum(screen() is not None for screen in seen)
            few = len(gc.get_objects()) - objects < ROUNDS * MOST_OBJECTS
            return alive <= MOST_ALIVE and few

        for way in SCREENS.values():
            await pilot.press(*way.below)
            seen = await look(way, 1)  # what is loaded and kept once
            gc.collect()
            objects = len(gc.get_objects())
            seen += await look(way, ROUNDS)
            await until(pilot, partial(are_gone, seen, objects))
            await leave(pilot, listing)


LATER = {
    "set_timer": 1,
    "set_interval": 1,
    "call_after_refresh": 0,
    "call_later": 0,
    "call_next": 0,
    "subscribe": 1,
    "push_screen": 1,
}
"""Which argument of a method is called when something has happened meanwhile."""
ELSEWHERE = {"run_worker", "in_background", "push_screen_wait", "call_from_thread", "work"}


@pytest.mark.parametrize("file", sorted(SCREENS_DIRECTORY.glob("*.py")), ids=lambda file: file.stem)
def test_every_result_for_a_screen_first_checks_that_the_screen_exists(file: Path) -> None:
    """By `start` and `while_alive` of base_screen.py, and in no other way."""
    for call in ast.walk(ast.parse(file.read_text())):
        if not isinstance(call, ast.Call):
            continue
        if ast.unparse(call.func).startswith("app."):
            continue  # a callback of the application, which lives longer than any screen
        name = ast.unparse(call.func).rpartition(".")[2]
        assert name not in ELSEWHERE, f"{file.name}:{call.lineno}"
        place = LATER.get(name)
        if place is not None and len(call.args) > place:
            assert "while_alive" in ast.unparse(call.args[place]), f"{file.name}:{call.lineno}"
