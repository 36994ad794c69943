"""Terminal tests: a seeded cache, a clock that stands, no network, the same colours everywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from lora_tui import clock
from lora_tui.app import LoraTuiApp
from lora_tui.config.table import Preferences
from lora_tui.screens.model import ModelScreen
from tests.tui.library import NOW, FakeWriters, Library
from tests.tui.whole_model import MODEL, put_model, put_points

Open = Callable[..., LoraTuiApp]


@pytest.fixture(autouse=True)
def settled_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What differs between machines and runs: time, zone, the terminal, a cursor that blinks."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _field: None)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("NO_COLOR", "FORCE_COLOR", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty cache: nothing was ever synced."""
    return Library(tmp_path / "cache.sqlite3")


@pytest.fixture
def model(library: Library) -> Library:
    """A library with one model that has everything; its curve is in the cache."""

    def write() -> None:
        put_model(library)
        put_points(library)

    library.begin("one model", write)
    return library


@pytest.fixture
def writers(library: Library) -> FakeWriters:
    return FakeWriters(cache_path=library.path)


@pytest.fixture
def open_app(library: Library, writers: FakeWriters) -> Open:
    """Makes the application on the library; arguments are preferences, or its constructor's."""

    def make(**arguments: Any) -> LoraTuiApp:
        wishes = {name: arguments.pop(name) for name in Preferences._fields if name in arguments}
        arguments = {"profile": "demo", "sync_on_start": False, **arguments}
        arguments["preferences"] = Preferences(**wishes)
        app = LoraTuiApp(library.path, arguments.pop("writers", writers), **arguments)
        app.animation_level = "none"
        return app

    return make


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Let the application go on until the condition holds; the test's time-out is the limit."""
    while not condition():
        if pilot.app._exception is not None:  # it would be waited for in vain
            raise pilot.app._exception
        await pilot.pause()
        await asyncio.sleep(0.005)
    await pilot.pause()


@asynccontextmanager
async def model_page(app: LoraTuiApp, size: tuple[int, int]) -> AsyncIterator[Pilot[None]]:
    """On the page of the model that has everything."""
    async with app.run_test(size=size) as pilot:
        await show_model(app, pilot)
        yield pilot


async def show_model(app: LoraTuiApp, pilot: Pilot[Any]) -> None:
    """Open its page, and wait until its curve was asked for."""
    app.open_model(MODEL)
    await until(pilot, lambda: isinstance(app.screen, ModelScreen))
    await until(pilot, lambda: not list(app.screen.workers))


def type_at_once(app: App[Any], *keys: str) -> None:
    """Keys and characters that arrive together, before the application has handled the first."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


def screen_text(app: App[Any]) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def toasts(app: App[Any]) -> list[str]:
    """Title and message of every toast that is up."""
    return [f"{notice.title}: {notice.message}" for notice in app._notifications]
