"""A cache of an earlier version: the last one opens as it is, older ones keep their downloads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from lora_tui import clock
from lora_tui.cache import connection, metadata, metrics, models, records
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import downloaded_files, downloaded_to
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import ModelQuery
from lora_tui.cache.schema import SCHEMA_VERSION
from lora_tui.cache.transfer_queue import Checked, TransferState, queue_of
from lora_tui.clock import timestamp_text
from lora_tui.errors import CacheError
from tests.tui.library import NOW, USER, identifier, model_row

DATA: Final = Path(__file__).parent / "data"
"""Caches as SQL, written by the code of commit 7430ff5: with its last schema, and with older ones
as its migrations left them; with schema 20 by that of commit c6f3aba."""
OWNER: Final = Owner(USER, "https://project.example")
MODEL: Final = identifier("model", 0)
DIRECTORY: Final = Path("/data/adapters/first")


def cache_of_schema(version: int, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript((DATA / f"schema-{version}.sql").read_text(encoding="utf-8"))
    return path


def names(db: sqlite3.Connection, query: ModelQuery) -> list[str]:
    return [model.name for model in models.select_models(db, query, offset=0, limit=9)]


@pytest.mark.parametrize("version", [8, 20])
def test_a_cache_of_a_previous_version_opens_unchanged(tmp_path: Path, version: int) -> None:
    path = cache_of_schema(version, tmp_path / "cache.sqlite3")
    with closing(open_cache(path, OWNER)) as db:
        assert find_damage(db) is None
        assert names(db, ModelQuery()) == [model_row(0)["name"], model_row(1)["name"]]
        assert names(db, ModelQuery(reverse=True)) == [model_row(1)["name"], model_row(0)["name"]]
        assert names(db, ModelQuery(search="SQL")) == [model_row(1)["name"]]
        assert models.get_row(db, MODEL) is not None
        assert len(metrics.get_points(db, identifier("job", 0))) == 4
        assert records.unread_count(db) == 1
        assert metadata.get_sync_state(db).last_success == NOW
        assert metadata.get_cursor(db, "notifications") is not None
        assert downloaded_to(db, MODEL) == DIRECTORY
        with transaction(db):
            models.put_models(db, [model_row(2)])
        assert find_damage(db) is None


@pytest.mark.parametrize("version", [8, 20])
def test_a_cache_of_a_previous_version_has_the_indexes_of_a_new_one(
    tmp_path: Path, version: int
) -> None:
    def indexes(path: Path) -> set[tuple[str, str]]:
        listed = "type = 'index' AND tbl_name IN ('models', 'jobs')"
        with closing(open_cache(path)) as db:
            found = db.execute(f"SELECT name, sql FROM sqlite_master WHERE {listed}")
            return {(name, text) for name, text in found}

    old = indexes(cache_of_schema(version, tmp_path / "cache.sqlite3"))
    assert old == indexes(tmp_path / "new.sqlite3")


def test_a_long_update_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MANY_MODELS", 2)
    path, told = cache_of_schema(8, tmp_path / "cache.sqlite3"), list[str]()
    for _ in range(2):
        open_cache(path, OWNER, on_migration=told.append).close()
    open_cache(tmp_path / "new.sqlite3", OWNER, on_migration=told.append).close()
    (sentence,) = told
    assert "brought up to date for this version, once: 2 models" in sentence


def test_the_first_sync_after_an_update_fetches_the_models_that_were_deleted_before(
    tmp_path: Path,
) -> None:
    path = cache_of_schema(8, tmp_path / "cache.sqlite3")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT OR REPLACE INTO facts VALUES ('sync.reconciled', ?)",
            [timestamp_text(clock.now())],
        )
    with closing(open_cache(path, OWNER)) as db:
        assert metadata.is_due(db, "sync.reconciled", timedelta(days=1))
        assert find_damage(db) is None


@pytest.mark.parametrize("version", [1, 5, 7])
def test_a_cache_of_an_older_schema_is_rebuilt_and_keeps_its_downloads(
    version: int, tmp_path: Path
) -> None:
    path = cache_of_schema(version, tmp_path / "cache.sqlite3")
    with closing(open_cache(path, OWNER)) as db:
        assert find_damage(db) is None
        assert names(db, ModelQuery()) == []
        assert metadata.get_sync_state(db).last_success is None
        assert metadata.get_cursor(db, "model_artifacts") is None
        assert downloaded_to(db, MODEL) == DIRECTORY
        (transfer,) = downloaded_files(db)
        assert (transfer.state, transfer.target.parent) == (TransferState.DONE, DIRECTORY)
        assert transfer.checked is (Checked.STRUCTURE if version == 1 else Checked.SHA256)
        assert [row.id for row in queue_of(db)] == [transfer.id]
    with closing(open_cache(path, OWNER)) as db:  # it is rebuilt once
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        assert downloaded_to(db, MODEL) == DIRECTORY


def test_a_rebuilt_cache_still_belongs_to_its_account(tmp_path: Path) -> None:
    path = cache_of_schema(5, tmp_path / "cache.sqlite3")
    open_cache(path).close()
    with pytest.raises(CacheError, match="another account"):
        open_cache(path, Owner("somebody-else", OWNER.project))


def old_cache_with_notifications(path: Path, version: int) -> Path:
    """One notification that was shown as a toast, and one that was not."""
    cache_of_schema(version, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM notifications")
        db.executemany(
            "INSERT INTO notifications (id, row, read, created_at, announced)"
            " VALUES (?, '{}', 0, '2026-11-23T12:00:00.000000+00:00', ?)",
            [("shown", 1), ("new", 0)],
        )
    return path


@pytest.mark.parametrize("version", [1, 5, 7])
def test_a_notification_that_was_shown_before_the_rebuild_is_not_shown_again(
    version: int, tmp_path: Path
) -> None:
    path = old_cache_with_notifications(tmp_path / "cache.sqlite3", version)
    rows = [{"id": name, "read": False, "created_at": NOW.isoformat()} for name in ("shown", "new")]
    with closing(open_cache(path, OWNER)) as db:
        with transaction(db):
            records.put_notifications(db, rows)
        assert [notice.id for notice in records.unannounced(db)] == ["new"]


def test_a_rebuilt_cache_says_so_until_a_sync_succeeds(tmp_path: Path) -> None:
    path = cache_of_schema(5, tmp_path / "cache.sqlite3")
    for _ in range(2):  # also when it is opened again
        with closing(open_cache(path, OWNER)) as db:
            assert metadata.get_sync_state(db).rebuilt
    with closing(open_cache(path, OWNER)) as db:
        failed = metadata.SyncState(None, NOW, running=False, error="No route")
        succeeded = metadata.SyncState(NOW, NOW, running=False, error=None)
        for state, rebuilt in ((failed, True), (succeeded, False)):
            with transaction(db):
                metadata.put_sync_state(db, state, process="1")
            assert metadata.get_sync_state(db).rebuilt is rebuilt
    with closing(open_cache(tmp_path / "new.sqlite3", OWNER)) as db:
        assert not metadata.get_sync_state(db).rebuilt
