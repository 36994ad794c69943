"""The transfers screen: every download is shown, and can be stopped, resumed and moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import OptionList

from lora_tui import clock
from lora_tui.app import LoraTuiApp
from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.transfer_queue import FileRequest, TransferState
from lora_tui.errors import CancelledError, DiskError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.transfers import TransferList, TransfersScreen
from lora_tui.transfers.control import Control, control
from lora_tui.widgets.screen_bars import KeyBar, TitleBar
from lora_tui.widgets.transfer_line import transfer_lines
from tests.tui.conftest import Open, screen_text, toasts, type_at_once, until
from tests.tui.library import (
    HOSTILE_NAMES,
    NOW,
    FakeWriters,
    Library,
    identifier,
    model_row,
    set_transfer,
)

MODEL = identifier("model", 0)
NAMES = ("weights.safetensors", "config.json", "tokenizer.json")


def put(library: Library, *states: TransferState) -> list[int]:
    """A file of model 0 in each of these states."""
    directory = library.path.parent / "downloads"
    wanted = [
        FileRequest(name, f"path/{name}", directory / name, 1000)
        for name, _ in zip(NAMES, states, strict=False)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        ids = queue.enqueue(db, MODEL, wanted)
        for number, state in zip(ids, states, strict=True):
            error = "The link broke" if state is TransferState.FAILED else None
            done = 1000 if state is TransferState.DONE else 340
            set_transfer(db, number, state, bytes_done=done, error=error)
    return ids


def set_state(library: Library, number: int, state: TransferState) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        set_transfer(db, number, state)


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


@pytest.mark.slow
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
        await pilot.press("down", "up")
        with closing(open_cache(library.path)) as db:
            control(db, Control.DOWN, [ids[0]])
        await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 2)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))


def put_many(library: Library) -> list[int]:
    """Three queued files for each of ten models."""
    library.fill()
    ids: list[int] = []
    for model in range(10):
        files = dict.fromkeys(list(FILES)[:3], TransferState.QUEUED)
        ids += put_model_files(library, model, dict(files), f"model-{model}").values()
    return ids


@pytest.mark.parametrize("keys", [(), ("down", "G", "g")], ids=["untouched", "g"])
async def test_the_list_stays_at_its_top_until_the_user_moves_the_cursor(
    library: Library, open_app: Open, keys: tuple[str, ...]
) -> None:
    first, second, *_ = put_many(library)
    app = open_app()
    async with app.run_test(size=(100, 20)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        await pilot.press(*keys)
        set_state(library, first, TransferState.DONE)  # it sinks to the end
        await until(pilot, lambda: chosen_id(app) == second)
        listing = app.screen.query_one(OptionList)
        assert (listing.highlighted, listing.scroll_y) == (1, 0)


def chosen_id(app: LoraTuiApp) -> int | None:
    chosen = app.screen.chosen if isinstance(app.screen, TransfersScreen) else None
    return None if chosen is None else chosen.id


async def test_the_model_of_the_first_visible_file_is_named(
    library: Library, open_app: Open
) -> None:
    put_many(library)
    app = open_app()
    async with app.run_test(size=(100, 16)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        group = app.screen.query_one("#group")
        assert not str(group.render()).strip()
        await pilot.press("G")
        await until(pilot, lambda: bool(str(group.render()).strip()))


async def test_the_progress_of_one_file_draws_only_its_lines(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = put_many(library)
    set_state(library, first, TransferState.RUNNING)
    app = open_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        listing = app.screen.query_one(TransferList)
        await until(pilot, lambda: "1 running" in screen_text(app))
        await pilot.pause()
        drawn: list[int] = []
        render_line = listing.render_line

        def note(y: int) -> Strip:
            drawn.append(y)
            return render_line(y)

        monkeypatch.setattr(listing, "render_line", note)
        with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
            set_transfer(db, first, TransferState.RUNNING, bytes_done=40_000_000)
        await until(pilot, lambda: bool(drawn))
        assert len(drawn) <= 4


async def test_what_changes_below_a_full_screen_is_shown_on_return_and_draws_nothing_before(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill()
    put(library, TransferState.RUNNING)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        models = app.screen
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        await pilot.pause()
        drawn: list[int] = []
        render_line = app.screen.query_one(TitleBar).render_line

        def note(y: int) -> Strip:
            drawn.append(y)
            return render_line(y)

        monkeypatch.setattr(app.screen.query_one(TitleBar), "render_line", note)
        library.put_models(model_row(0, name="renamed"))
        app.poll_cache()
        models.query_one(KeyBar).refresh()
        await pilot.pause()
        assert not drawn
        await pilot.press("escape")
        await until(pilot, lambda: "renamed" in screen_text(app))


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 160])
async def test_an_unknown_size_is_not_mentioned(
    library: Library, open_app: Open, width: int
) -> None:
    library.fill()
    wanted = [FileRequest("weights", "path", library.path.parent / "weights", None)]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        (number,) = queue.enqueue(db, MODEL, wanted)
        set_transfer(db, number, TransferState.RUNNING, bytes_done=0)
    app = open_app()
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.press("t")
        text = screen_text(app)
        assert "0 B" not in text
        assert text.count("–") >= 2
        with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
            set_transfer(db, number, TransferState.RUNNING, bytes_done=2048)
        await until(pilot, lambda: "2.0 KiB downloaded" in screen_text(app))


async def test_nothing_to_show_says_how_to_begin(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        assert "No downloads" in screen_text(app)


@pytest.mark.slow
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
    ("state", "title"),
    [(TransferState.DONE, "Downloaded"), (TransferState.FAILED, "Download failed")],
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


async def test_a_toast_keeps_a_long_path_on_one_line(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        app.notify(f"Saved\n/home/you/{'deep/' * 20}sql-assistant-2d3e", title="Downloaded")
        await until(pilot, lambda: bool(toasts(app)))
        (toast,) = toasts(app)
        assert "…/deep/" in toast
        assert toast.endswith("/deep/sql-assistant-2d3e")
        assert all(len(line) <= 72 for line in toast.splitlines())


async def test_an_empty_list_does_not_offer_to_open_a_model(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: "No downloads" in screen_text(app))
        assert "Open model" not in screen_text(app)


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


FILES = {
    "adapter_model.safetensors": 84_000_000,
    "adapter_config.json": 700,
    "training_args.bin": 5_300,
    "tokenizer.json": 9_085_000,
    "tokenizer_config.json": 55_300,
    "special_tokens_map.json": 450,
}


def put_model_files(
    library: Library, model: int, done: dict[str, int | TransferState], place: str
) -> dict[str, int]:
    """Files of a model: so many bytes of each that runs, or the state of any other; their rows."""
    directory = Path("/", "home", "somebody", "models") / place
    wanted = [FileRequest(name, f"path/{name}", directory / name, FILES[name]) for name in done]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        ids = queue.enqueue(db, identifier("model", model), wanted)
        for number, (name, how) in zip(ids, done.items(), strict=True):
            if isinstance(how, int):
                set_transfer(db, number, TransferState.RUNNING, bytes_done=how)
            elif how is not TransferState.QUEUED:
                whole = how not in (TransferState.PAUSED, TransferState.FAILED)
                error = "The checksum is wrong: these are not the bytes that were stored"
                set_transfer(
                    db,
                    number,
                    how,
                    bytes_done=FILES[name] if whole else FILES[name] // 3,
                    error=error if how is TransferState.FAILED else None,
                )
    return dict(zip(done, ids, strict=True))


def put_every_state(library: Library) -> dict[str, int]:
    """Three models: one under way, one with trouble, one done; the running files."""
    library.fill()
    running = put_model_files(
        library,
        0,
        {
            "adapter_model.safetensors": 20_000_000,
            "tokenizer.json": 2_000_000,
            "training_args.bin": TransferState.QUEUED,
        },
        "customer-support-emails-2026-11-23-1b4f0a2c",
    )
    put_model_files(
        library,
        1,
        {
            "adapter_model.safetensors": TransferState.PAUSED,
            "tokenizer.json": TransferState.FAILED,
            "adapter_config.json": TransferState.MISSING,
            "tokenizer_config.json": TransferState.CHANGED,
        },
        "sql-assistant-2026-11-22-77aa01ff",
    )
    put_model_files(
        library, 2, dict.fromkeys(FILES, TransferState.DONE), "radiology-reports-2026-11-21-0c55"
    )
    return running


class TestPictures:
    """How the screen looks. `pytest --snapshot-update` after a change that is meant."""

    async def _shown(self, pilot: Pilot[None]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, TransfersScreen))

    async def _moving(
        self,
        library: Library,
        running: dict[str, int],
        monkeypatch: pytest.MonkeyPatch,
        pilot: Pilot[None],
    ) -> None:
        """Two seconds pass in which bytes come; one file has been tried again."""
        await self._shown(pilot)
        monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(seconds=2))
        with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
            state = TransferState.RUNNING
            weights, tokenizer = (running[name] for name in list(running)[:2])
            set_transfer(db, weights, state, bytes_done=29_800_000)
            set_transfer(db, tokenizer, state, bytes_done=4_600_000, attempts=2)
        assert isinstance(pilot.app, LoraTuiApp)
        pilot.app.poll_cache()
        await pilot.pause()

    @pytest.mark.parametrize("size", [(80, 24), (160, 48)])
    @pytest.mark.parametrize("ascii_only", [False, True])
    def test_files_in_every_state(
        self,
        library: Library,
        open_app: Open,
        snap_compare: Callable[..., bool],
        monkeypatch: pytest.MonkeyPatch,
        size: tuple[int, int],
        ascii_only: bool,
    ) -> None:
        running = put_every_state(library)

        async def shown(pilot: Pilot[None]) -> None:
            await self._moving(library, running, monkeypatch, pilot)

        app = open_app(ascii_only=ascii_only)
        assert snap_compare(app, terminal_size=size, run_before=shown)

    def test_the_smallest_terminal(
        self, library: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        put_every_state(library)
        assert snap_compare(open_app(), terminal_size=(60, 15), run_before=self._shown)

    def test_nothing(
        self, library: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        library.fill()
        assert snap_compare(open_app(), terminal_size=(80, 24), run_before=self._shown)

    def test_hostile_names(
        self, library: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        library.put_models(
            *(model_row(number, name=name) for number, name in enumerate(HOSTILE_NAMES))
        )
        library.put_state()
        for number, name in enumerate(HOSTILE_NAMES):
            target = Path("/", "home", "somebody", "models") / str(number) / "file"
            wanted = FileRequest(f"{name}.bin", "path", target, 10_000)
            with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
                (row,) = queue.enqueue(db, identifier("model", number), [wanted])
                state = TransferState.FAILED if number % 2 else TransferState.RUNNING
                set_transfer(db, row, state, bytes_done=1_000 * number, error=name)
        assert snap_compare(open_app(), terminal_size=(100, 40), run_before=self._shown)


async def test_many_downloads_that_end_together_are_one_toast_that_counts_them(
    library: Library, open_app: Open
) -> None:
    library.fill()
    directory = library.path.parent / "downloads"
    models = [identifier("model", number) for number in range(30)]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        for number, model in enumerate(models):
            wanted = [FileRequest("weights", "path", directory / str(number), 1000)]
            queue.enqueue(db, model, wanted)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
            for row in queue.active_transfers(db):
                ends = TransferState.FAILED if row.id % 3 == 0 else TransferState.DONE
                error = "The disk is full" if ends is TransferState.FAILED else None
                set_transfer(db, row.id, ends, error=error)
        await until(pilot, lambda: len(toasts(app)) >= 2)
        done, failed = sorted(toasts(app))
    assert done.startswith("Downloaded: 20 models: ")
    assert " and 17 more\n" in done
    assert failed.startswith("Downloads failed: 10 models: ")
    assert failed.endswith("\nThe disk is full")


async def test_downloads_that_end_while_a_toast_is_up_are_counted_in_the_next(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.tui.download_toasts.SECONDS_BETWEEN", 0.3)
    library.fill()
    ids = put(library, TransferState.RUNNING)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        set_state(library, ids[0], TransferState.DONE)
        await until(pilot, lambda: len(toasts(app)) == 1)
        for number in range(1, 4):
            app.download(identifier("model", number), f"Model {number}")
        await until(pilot, lambda: len(toasts(app)) == 2)
        assert toasts(app)[1].startswith("Downloaded: 3 models: Model 1, Model 2, Model 3\n")


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (("P", "A"), (Control.PAUSE, Control.RESUME)),
        (("p", "p"), (Control.PAUSE, Control.RESUME)),
        (("x", "R"), (Control.CANCEL, Control.RESUME)),
        (("x", "X", "y"), (Control.CANCEL, Control.FORGET)),
    ],
)
async def test_of_keys_in_one_breath_each_is_meant_for_what_the_one_before_has_done(
    library: Library,
    open_app: Open,
    writers: FakeWriters,
    keys: tuple[str, ...],
    asked: tuple[Control, ...],
) -> None:
    """While the engine is slow: the second key came before its answer to the first."""
    library.fill()
    (number,) = put(library, TransferState.RUNNING)
    answers = threading.Event()
    done: list[tuple[Control, tuple[int, ...]]] = []

    def apply(what: Control, ids: Sequence[int]) -> None:
        answers.wait()
        with closing(open_cache(library.path)) as db:
            control(db, what, ids)
        done.append((what, tuple(ids)))

    writers.on_control = apply
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        for key in keys:
            if key == "y":
                await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            type_at_once(app, key)
        await pilot.pause()
        answers.set()
        await until(pilot, lambda: len(done) == len(asked))
    assert done == [(what, (number,)) for what in asked]


async def test_what_a_key_has_asked_for_is_shown_at_once_and_taken_back_if_it_fails(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    put(library, TransferState.RUNNING)
    answers = threading.Event()

    def refuse(_what: Control, _ids: Sequence[int]) -> None:
        answers.wait()
        raise DiskError("The disk is full")

    writers.on_control = refuse
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
        await pilot.press("p")
        await until(pilot, lambda: "1 paused" in screen_text(app))
        answers.set()
        await until(pilot, lambda: "1 running" in screen_text(app))
        assert any("The disk is full" in toast for toast in toasts(app))


async def test_a_file_that_failed_without_a_session_names_the_key_that_signs_in(
    library: Library, open_app: Open
) -> None:
    library.fill()
    put(library, TransferState.FAILED)
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        db.execute("UPDATE transfers SET error_kind = 'SessionEndedError'")
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: "press L to sign in" in screen_text(app))
        assert "lora-tui login" not in screen_text(app)


@pytest.mark.parametrize(("seconds", "shown"), [(46, "in 00:46"), (5 * 3600, "in 5 h")])
def test_a_long_time_left_is_in_hours_and_apart_from_the_rate(
    library: Library, seconds: int, shown: str
) -> None:
    library.fill(count=1)
    put(library, TransferState.RUNNING)
    with closing(open_cache(library.path)) as db:
        (row,) = queue.active_transfers(db)
    row = row._replace(bytes_done=0, bytes_total=200 * seconds)
    (line, *_) = transfer_lines(row, 76, rate=200.0)
    assert "".join(text for text, _ in line).rstrip().endswith(f"200 B/s {shown:>8}")
