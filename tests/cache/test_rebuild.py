"""A damaged cache is renamed and rebuilt, and keeps its records of downloads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache import metadata
from lora_tui.cache.cache_file import sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import PAGE_BYTES, open_cache, transaction
from lora_tui.cache.downloaded import downloaded_to, put_downloaded
from lora_tui.cache.metadata import Owner
from lora_tui.cache.rebuild import clear_cache, rebuild_cache
from lora_tui.cache.records import mark_announced, put_notifications, unannounced
from lora_tui.cache.transfer_queue import FileRequest, TransferState, enqueue, transfers_of
from lora_tui.errors import CacheError
from tests.tui.library import set_transfer

OWNER = Owner("a11ce000-0000-4000-8000-000000000001", "https://one.example")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "cache.sqlite3"


@pytest.fixture
def downloaded(path: Path, tmp_path: Path) -> Path:
    """A cache with one finished download, one that is on its way, and one that was removed."""
    directory = tmp_path / "downloads" / "one"
    directory.mkdir(parents=True)
    (directory / "a.bin").write_bytes(b"12345")
    with closing(open_cache(path, OWNER)) as db, transaction(db, Topic.TRANSFERS):
        for model, place, state in (
            ("one", directory, TransferState.DONE),
            ("two", tmp_path / "gone", TransferState.DONE),
            ("three", directory, TransferState.QUEUED),
        ):
            name = "a.bin" if state is TransferState.DONE else "b.bin"
            [number] = enqueue(db, model, [FileRequest(name, f"u/{model}/{name}", place / name, 5)])
            set_transfer(db, number, state, bytes_done=5 if state is TransferState.DONE else 0)
        put_downloaded(db, "one", directory)
        put_downloaded(db, "two", tmp_path / "gone")
    return directory


def spoil_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE marks")


def spoil_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x00" * 100)


def test_a_damaged_file_is_kept_beside_the_new_one(path: Path, downloaded: Path) -> None:
    spoil_the_header(path)
    damaged = path.read_bytes()
    rebuilt = rebuild_cache(path, OWNER)
    assert rebuilt is not None
    assert rebuilt.kept == path.with_name("cache.sqlite3.damaged-1")
    assert rebuilt.kept.read_bytes() == damaged
    assert "\n" not in rebuilt.sentence
    with closing(open_cache(path, OWNER)) as db:
        assert metadata.get_sync_state(db).last_success is None
        assert metadata.get_value(db, metadata.DOWNLOADS_UNKNOWN) == "1"
    spoil_the_header(path)
    again = rebuild_cache(path, OWNER)
    assert again is not None
    assert again.kept.name == "cache.sqlite3.damaged-2"


def test_a_notification_that_was_shown_is_not_shown_again_after_damage(
    path: Path, downloaded: Path
) -> None:
    rows = [{"id": name, "read": False, "created_at": "2026-11-23"} for name in ("shown", "new")]
    with closing(open_cache(path, OWNER)) as db, transaction(db):
        put_notifications(db, rows)
        mark_announced(db, ["shown"])
    spoil_a_table(path)
    assert rebuild_cache(path, OWNER) is not None
    with closing(open_cache(path, OWNER)) as db:
        with transaction(db):
            put_notifications(db, rows)
        assert [notice.id for notice in unannounced(db)] == ["new"]


def test_records_of_downloads_that_exist_on_the_disk_are_kept(path: Path, downloaded: Path) -> None:
    spoil_a_table(path)
    rebuilt = rebuild_cache(path, OWNER)
    assert rebuilt is not None
    assert rebuilt.downloads == 1
    with closing(open_cache(path, OWNER)) as db:
        assert downloaded_to(db, "one") == downloaded
        assert downloaded_to(db, "two") is None
        assert [row.state for row in transfers_of(db, "one")] == [TransferState.DONE]
        assert transfers_of(db, "two") == transfers_of(db, "three") == []


def test_damage_elsewhere_keeps_the_records_of_downloads(path: Path, downloaded: Path) -> None:
    with closing(open_cache(path)) as db, transaction(db):
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'models'").fetchone()[0]
    with closing(open_cache(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    rebuilt = rebuild_cache(path, OWNER)
    assert rebuilt is not None
    with closing(open_cache(path)) as db:
        assert downloaded_to(db, "one") == downloaded


def test_a_healthy_cache_is_not_rebuilt(path: Path, downloaded: Path) -> None:
    """Another process was quicker: what it has built is not thrown away."""
    assert rebuild_cache(path, OWNER) is None
    assert [file.name for file in path.parent.glob("*damaged*")] == []
    with closing(open_cache(path)) as db:
        assert len(transfers_of(db, "three")) == 1


def test_a_cache_is_not_rebuilt_while_a_process_syncs_it(
    path: Path, downloaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_a_table(path)
    monkeypatch.setattr("lora_tui.cache.rebuild.PATIENCE", 0.01)
    with sync_lock(path), pytest.raises(CacheError, match="Another lora-tui"):
        rebuild_cache(path, OWNER)
    assert rebuild_cache(path, OWNER) is not None


def test_clearing_keeps_only_the_records_of_finished_downloads(
    path: Path, downloaded: Path
) -> None:
    with closing(open_cache(path)) as db, transaction(db):
        metadata.put_cursor(db, "datasets", "2026-11-20T10:00:00+00:00", "x")
    assert clear_cache(path, OWNER)
    with closing(open_cache(path, OWNER)) as db:
        assert downloaded_to(db, "one") == downloaded
        assert metadata.get_cursor(db, "datasets") is None


def test_clearing_a_cache_without_downloads_leaves_no_file(path: Path) -> None:
    open_cache(path, OWNER).close()
    assert clear_cache(path, OWNER)
    assert list(path.parent.iterdir()) == []
    assert not clear_cache(path, OWNER)
