"""What destroys or costs something asks first, or can be undone.

The list of them all. Elsewhere: quitting while something is downloaded (test_app), signing out and
clearing the cache (test_login), a download of several models (test_selection), a filter and the
columns (test_filters, test_columns: escape undoes), bytes of others on the disk (tests/transfers).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.transfer_queue import FileRequest, TransferState
from lora_tui.config.load import load_preferences
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.reports.exports import write_new_file
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.transfers import TransfersScreen
from lora_tui.transfers.control import Control
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier, set_transfer

SIZE = (100, 30)


def put(library: Library, state: TransferState, done: int) -> int:
    """A file of model 0."""
    wanted = [FileRequest("weights", "path", library.path.parent / "weights", 4096)]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        (number,) = queue.enqueue(db, identifier("model", 0), wanted)
        set_transfer(db, number, state, bytes_done=done)
    return number


@pytest.mark.parametrize(
    "state", [TransferState.PAUSED, TransferState.FAILED, TransferState.CANCELLED]
)
async def test_what_was_fetched_of_a_file_is_removed_only_after_a_question(
    library: Library, open_app: Open, writers: FakeWriters, state: TransferState
) -> None:
    library.fill(count=2)
    asked = ("control_downloads", Control.FORGET, str(put(library, state, 2048)))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t", "X")
        assert isinstance(app.screen, ConfirmScreen)
        assert "Remove weights?" in screen_text(app)
        assert "deletes the 2.0 KiB downloaded" in screen_text(app)
        await pilot.press("n")
        assert isinstance(app.screen, TransfersScreen)
        assert asked not in writers.asked
        await pilot.press("X", "y")
        await until(pilot, lambda: asked in writers.asked)


@pytest.mark.parametrize(
    ("state", "done"), [(TransferState.DONE, 4096), (TransferState.CANCELLED, 0)]
)
async def test_a_line_of_which_nothing_is_lost_goes_without_a_question(
    library: Library, open_app: Open, writers: FakeWriters, state: TransferState, done: int
) -> None:
    library.fill(count=2)
    asked = ("control_downloads", Control.FORGET, str(put(library, state, done)))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t", "X")
        await until(pilot, lambda: asked in writers.asked)


async def test_a_stopped_download_goes_on_where_it_was(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    number = put(library, TransferState.CANCELLED, 2048)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t")
        assert "stopped" in screen_text(app)
        await pilot.press("R")
        asked = ("control_downloads", Control.RESUME, str(number))
        await until(pilot, lambda: asked in writers.asked)


async def test_marks_that_were_cleared_come_back(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "space", "escape")
        assert "marked" not in screen_text(app).splitlines()[-2]
        assert "3 unmarked; U marks them again" in toasts(app)[-1]
        assert "U Mark again" in screen_text(app)
        await pilot.press("U")
        assert "3 marked: c compares" in screen_text(app)
        assert "Mark again" not in screen_text(app)


async def test_escape_pressed_several_times_only_clears(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "slash", *"legal", "enter")
        for _ in range(2):
            await pilot.press("escape", "escape", "escape", "escape", "escape")
            assert "marked" not in screen_text(app).splitlines()[-2]
            assert isinstance(app.screen, ModelsScreen)
            assert app.screen.model_query.is_everything


async def test_marks_that_come_back_join_those_made_since(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "escape", "space", "U", "U")
        assert "3 marked: c compares" in screen_text(app)


async def test_a_setting_that_goes_back_to_its_default_says_what_it_was(
    library: Library, open_app: Open, home: Path
) -> None:
    del home
    library.fill(count=2)
    settings = Settings(Profile("work", find_paths(), "https://p.example", "k"), Path("c"))
    settings.change("sync_interval", "123")
    app = open_app(settings=settings)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma", *"jjjj", "x")
        await until(pilot, lambda: any("Sync every was 123 s" in toast for toast in toasts(app)))
        assert load_preferences(settings.file, {}).sync_interval == 60


def test_an_export_never_replaces_an_earlier_one(tmp_path: Path) -> None:
    first = write_new_file(tmp_path, "comparison.md", "first")
    second = write_new_file(tmp_path, "comparison.md", "second")
    assert (first.read_text(), second.read_text()) == ("first", "second")
