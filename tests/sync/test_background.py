"""The application syncs in the background, and survives changes of the cache file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metadata
from lora_tui.cache.cache_file import delete_cache, sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from lora_tui.config.table import Preferences
from lora_tui.errors import DamagedCacheError, LoraTuiError, UnreachableError
from lora_tui.processes import new_identity
from lora_tui.widgets.model_table import ModelTable
from tests.tui.library import FakeWriters


class Syncing(FakeWriters):
    """Writers that count how often they were asked to sync, and do nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__(cache_path=path)
        self.path = path
        self.syncs = 0
        self.failure: LoraTuiError | None = None
        self.models = 0

    def sync(self, *, full: bool = False, scheduled: bool = False) -> None:
        self.syncs += 1
        if self.failure is not None:
            raise self.failure

    def add_model(self) -> None:
        """As another process would."""
        self.models += 1
        moment = f"2026-11-20T10:00:{self.models:02}+00:00"
        row = {
            "id": f"00000000-0000-4000-8000-{self.models:012}",
            "name": f"Model {self.models}",
            "created_at": moment,
            "updated_at": moment,
        }
        with closing(open_cache(self.path)) as db, transaction(db, Topic.MODELS):
            put_models(db, [row])


@pytest.fixture
def writers(tmp_path: Path) -> Syncing:
    path = tmp_path / "cache.sqlite3"
    open_cache(path).close()
    return Syncing(path)


def application(writers: Syncing) -> LoraTuiApp:
    return LoraTuiApp(writers.path, writers, profile="test")


async def until(condition: Callable[[], object]) -> None:
    """Wait for it; pytest's time-out ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0.01)


async def test_the_application_syncs_at_the_start_and_on_r(writers: Syncing) -> None:
    app = application(writers)
    async with app.run_test() as pilot:
        await until(lambda: writers.syncs == 1 and not app.is_syncing)
        await pilot.press("r")
        await until(lambda: writers.syncs == 2 and not app.is_syncing)


async def test_the_application_syncs_at_the_configured_interval(writers: Syncing) -> None:
    wanted = Preferences(sync_interval=0.02)
    app = LoraTuiApp(writers.path, writers, profile="test", preferences=wanted)
    async with app.run_test():
        await until(lambda: writers.syncs >= 4)


async def test_the_interval_grows_while_offline_and_r_syncs_at_once(writers: Syncing) -> None:
    writers.failure = UnreachableError("no network")
    app = application(writers)
    async with app.run_test() as pilot:
        await until(lambda: writers.syncs == 1 and not app.is_syncing)
        assert app.sync_schedule.failures == 1
        await pilot.press("r")
        await until(lambda: writers.syncs == 2 and not app.is_syncing)
        assert app.sync_schedule.failures == 2
        writers.failure = None
        await pilot.press("r")
        await until(lambda: app.sync_schedule.failures == 0)


async def test_new_models_move_neither_the_cursor_nor_the_scroll_position(writers: Syncing) -> None:
    for _ in range(40):
        writers.add_model()
    app = application(writers)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: app.screen.query(ModelTable))
        table = app.screen.query_one(ModelTable)
        await until(lambda: table.current is not None)
        await pilot.press(*["j"] * 25)
        chosen = table.current
        line = table.cursor - table.scroll_offset.y
        writers.add_model()  # the newest, above all others
        before = table.cursor
        await until(lambda: table.cursor != before)
        await pilot.pause()
        assert chosen is not None
        assert table.current is not None
        assert table.current.id == chosen.id
        assert table.cursor - table.scroll_offset.y == line


@pytest.mark.slow
async def test_during_the_first_sync_the_cursor_stays_on_the_newest_model_until_it_is_moved(
    writers: Syncing,
) -> None:
    app = application(writers)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: app.screen.query(ModelTable))
        table = app.screen.query_one(ModelTable)
        for number in range(1, 31):  # the oldest come first
            writers.add_model()
            await until(lambda number=number: table.total == number)
            assert table.current is not None
            assert table.current.name == f"Model {number}"
        assert table.scroll_offset.y == 0
        await pilot.press("j")
        writers.add_model()
        await until(lambda: table.total == 31)
        assert table.current is not None
        assert table.current.name == "Model 29"


async def test_a_cache_that_another_process_clears_is_opened_again(writers: Syncing) -> None:
    app = application(writers)
    async with app.run_test():
        await until(lambda: writers.syncs == 1)
        delete_cache(writers.path)
        await until(lambda: app.cache_replaced)
    assert app.damage is None


async def test_damage_found_by_a_sync_ends_the_application_without_a_crash(
    writers: Syncing,
) -> None:
    writers.failure = DamagedCacheError("The cache file is damaged")
    app = application(writers)
    async with app.run_test():
        await until(lambda: app.damage is not None)
    assert app.return_code in (None, 0)


async def test_damage_found_by_a_screen_ends_the_application_without_a_crash(
    writers: Syncing,
) -> None:
    app = application(writers)
    async with app.run_test():
        await until(lambda: writers.syncs == 1)
        with closing(sqlite3.connect(writers.path)) as db, db:
            db.execute("DROP TABLE generations")
        await until(lambda: app.damage is not None)
    assert app.return_code in (None, 0)
    assert "generations" in str(app.damage.details if app.damage else "")


def test_a_process_that_was_killed_is_not_syncing(writers: Syncing) -> None:
    with closing(open_cache(writers.path)) as db:
        with transaction(db):
            state = metadata.SyncState(None, None, running=True, error=None)
            metadata.put_sync_state(db, state, process=str(2**22 + 1))
        assert not metadata.get_sync_state(db).running


def test_a_sync_whose_end_could_not_be_noted_has_failed_and_does_not_run_for_ever(
    writers: Syncing,
) -> None:
    """As on a full disk: the process that noted its beginning runs on."""
    with closing(open_cache(writers.path)) as db:
        with sync_lock(writers.path) as is_ours:
            assert is_ours
            with transaction(db):
                state = metadata.SyncState(None, None, running=True, error=None)
                metadata.put_sync_state(db, state, process=new_identity())
            assert metadata.get_sync_state(db).running
        state = metadata.get_sync_state(db)
        assert not state.running
        assert state.error_kind is metadata.SyncErrorKind.OTHER
        assert "could not be stored" in str(state.error)
