"""The transfers screen: every download is shown, and can be stopped, resumed and moved."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from textual.widgets import OptionList

from lora_tui.cache import transfers as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.transfers import TransferState, Wanted
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.transfers import TransfersScreen
from lora_tui.transfers.control import Control, control
from lora_tui.transfers.fetch import CancelledError
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier

MODEL = identifier("model", 0)
NAMES = ("weights.safetensors", "config.json", "tokenizer.json")


def put(library: Library, *states: TransferState) -> list[int]:
    """A file of model 0 in each of these states."""
    directory = library.path.parent / "downloads"
    wanted = [
        Wanted(name, f"path/{name}", directory / name, 1000)
        for name, _ in zip(NAMES, states, strict=False)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        ids = queue.enqueue(db, MODEL, wanted)
        for number, state in zip(ids, states, strict=True):
            error = "The link broke" if state is TransferState.FAILED else None
            done = 1000 if state is TransferState.DONE else 340
            queue.update(db, number, state, bytes_done=done, error=error)
    return ids


def set_state(library: Library, number: int, state: TransferState) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        queue.update(db, number, state)


async def test_every_file_is_shown_with_its_state_progress_and_reason(
    library: Library, open_app: Open
) -> None:
    library.fill()
    put(library, TransferState.RUNNING, TransferState.FAILED, TransferState.DONE)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        text = screen_text(app)
        for expected in (*NAMES, "34 %", "340 B of 1000 B", "The link broke", "verified"):
            assert expected in text
        assert "1 running, 1 failed, 1 done" in text
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, TransfersScreen))


@pytest.mark.parametrize(
    ("state", "key", "what"),
    [
        (TransferState.RUNNING, "p", Control.PAUSE),
        (TransferState.QUEUED, "p", Control.PAUSE),
        (TransferState.PAUSED, "p", Control.RESUME),
        (TransferState.PAUSED, "R", Control.RESUME),
        (TransferState.FAILED, "R", Control.RESUME),
        (TransferState.RUNNING, "x", Control.CANCEL),
        (TransferState.QUEUED, "J", Control.DOWN),
        (TransferState.QUEUED, "K", Control.UP),
        (TransferState.DONE, "X", Control.FORGET),
    ],
)
async def test_a_key_does_to_the_chosen_file_what_its_state_allows(
    library: Library,
    open_app: Open,
    writers: FakeWriters,
    state: TransferState,
    key: str,
    what: Control,
) -> None:
    library.fill()
    (number,) = put(library, state)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        await pilot.press(key)
        asked = ("control_downloads", what, str(number))
        await until(pilot, lambda: asked in writers.asked)


@pytest.mark.parametrize(
    ("state", "key"),
    [(TransferState.DONE, "p"), (TransferState.DONE, "x"), (TransferState.RUNNING, "X")],
)
async def test_a_key_that_does_not_apply_does_nothing(
    library: Library, open_app: Open, writers: FakeWriters, state: TransferState, key: str
) -> None:
    library.fill()
    put(library, state)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        await pilot.press(key)
        await pilot.pause()
        assert not [call for call in writers.asked if call[0] == "control_downloads"]


async def test_the_cursor_stays_on_its_file_when_the_order_changes(
    library: Library, open_app: Open
) -> None:
    library.fill()
    ids = put(library, *[TransferState.QUEUED] * 3)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        with closing(open_cache(library.path)) as db:
            control(db, Control.DOWN, [ids[0]])
        await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))


async def test_nothing_to_show_says_how_to_begin(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        assert "No downloads" in screen_text(app)


async def test_the_status_line_of_every_screen_has_a_bar(library: Library, open_app: Open) -> None:
    library.fill()
    put(library, TransferState.RUNNING)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "34 % of 1000 B" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        assert "34 % of 1000 B" in screen_text(app)


@pytest.mark.parametrize(
    ("state", "title"), [(TransferState.DONE, "Downloaded"), (TransferState.FAILED, "Failed")]
)
async def test_the_end_of_a_download_that_another_run_began_is_announced(
    library: Library, open_app: Open, state: TransferState, title: str
) -> None:
    library.fill()
    (number,) = put(library, TransferState.RUNNING)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        set_state(library, number, state)
        await until(pilot, lambda: any(toast.startswith(title) for toast in toasts(app)))


async def test_the_end_of_a_download_is_announced_once(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()

    def fetch(_model_id: str) -> None:
        (number,) = put(library, TransferState.RUNNING)
        writers.let_go.wait()
        set_state(library, number, TransferState.DONE)

    writers.on_download = fetch
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "34 % of 1000 B" in screen_text(app))
        writers.let_go.set()
        await until(pilot, lambda: any(toast.startswith("Downloaded") for toast in toasts(app)))
        app.poll_cache()
        assert [toast.split(":")[0] for toast in toasts(app)] == ["Downloaded"]


async def test_a_pause_that_the_user_asked_for_is_not_announced(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    ended = threading.Event()

    def fetch(_model_id: str) -> None:
        (number,) = put(library, TransferState.RUNNING)
        writers.let_go.wait()
        set_state(library, number, TransferState.PAUSED)
        ended.set()
        raise CancelledError("The download was paused")

    writers.on_download = fetch
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "34 % of 1000 B" in screen_text(app))
        writers.let_go.set()
        await until(pilot, lambda: ended.is_set() and "34 %" not in screen_text(app))
        app.poll_cache()
        assert toasts(app) == []


async def test_quitting_asks_while_what_an_earlier_run_left_is_fetched(
    library: Library, open_app: Open
) -> None:
    library.fill()
    (number,) = put(library, TransferState.RUNNING)
    app = open_app(sync_on_start=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("q")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        set_state(library, number, TransferState.DONE)
        await pilot.press("q")
        assert app._exit
