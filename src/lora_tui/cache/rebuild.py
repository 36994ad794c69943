"""Replaces a damaged cache, or clears one, and keeps the records of finished downloads.

The next sync brings back everything else from the backend.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui.cache.cache_file import delete_cache, rename_damaged, sync_holder, sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import (
    open_cache,
    transaction,
    translate_database_errors,
    translate_errors,
)
from lora_tui.cache.downloaded import put_records
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.metadata import Owner, get_owner
from lora_tui.cache.records import keep_announced, read_announced
from lora_tui.errors import CacheError, DamagedCacheError
from lora_tui.files import make_private_directory
from lora_tui.formats import counted
from lora_tui.processes import in_use_error
from lora_tui.sqlite_file import open_for_reading, sqlite_code

PATIENCE: Final = 60.0
_UNREADABLE: Final = (
    DamagedCacheError,
    OSError,
    sqlite3.Error,
    LookupError,
    ValueError,  # a message of SQLite that is not UTF-8
    TypeError,
    MemoryError,
)


@dataclass(frozen=True)
class Rebuilt:
    """The result of replacing a damaged cache."""

    kept: Path
    """The new path of the damaged file."""
    downloads: int
    """The number of downloaded models whose records were kept."""

    @property
    def sentence(self) -> str:
        """A sentence for the user."""
        count = counted(self.downloads, "download is", "downloads are")
        saved = f"; {count} still known" if self.downloads else ""
        return f"The cache was damaged and replaced; the old file is now {self.kept.name}{saved}"


def rebuild_cache(path: Path, owner: Owner) -> Rebuilt | None:
    """Replace a damaged cache by a new one; None if another process has already done so.

    Raises CacheError if another process uses it; DiskError.
    """
    make_private_directory(path.parent)
    with sync_lock(path, patience=PATIENCE) as ours:
        if not ours:
            message = "Another lora-tui is using the damaged cache"
            raise in_use_error(message, sync_holder(path), path, CacheError)
        if _is_healthy(path, owner):
            return None
        # the new file has the records before the old one is renamed
        new = path.with_name(f"{path.name}.new")
        delete_cache(new)
        with closing(open_cache(new, owner)) as db:
            with transaction(db, *Topic):
                put_records(db, _finished_downloads(path))
                keep_announced(db, _announced(path))
            (downloads,) = db.execute("SELECT count(*) FROM library").fetchone()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with translate_errors(path):
            kept = rename_damaged(path)
            new.rename(path)
        return Rebuilt(kept, int(downloads))


def clear_cache(path: Path, owner: Owner | None) -> bool:
    """Remove the cache, and put its records of finished downloads into a new one.

    Returns whether there was a cache. Without an owner the one in the cache is used.
    """
    with translate_errors(path):
        owner = owner or _owner_in(path)
        saved = _finished_downloads(path)
        existed = delete_cache(path)
    if owner is not None and any(saved.values()):
        with closing(open_cache(path, owner)) as db, transaction(db, *Topic):
            put_records(db, saved)
    return existed


def _owner_in(path: Path) -> Owner | None:
    try:
        with closing(open_for_reading(path)) as db:
            return get_owner(db)
    except (DamagedCacheError, OSError, sqlite3.Error, ValueError):
        return None


def _is_healthy(path: Path, owner: Owner) -> bool:
    """Whether the whole cache is healthy."""
    try:
        with closing(open_cache(path, owner)) as db:
            return find_damage(db) is None
    except sqlite3.OperationalError as error:
        if sqlite_code(error) == sqlite3.SQLITE_BUSY:
            with translate_database_errors(path):  # another process writes to it
                raise
        return False
    except (DamagedCacheError, sqlite3.DatabaseError):
        return False


def _finished_downloads(damaged: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows that can be read and that match the disk, by table."""
    saved: dict[str, list[dict[str, Any]]] = {}
    for table, key, is_true in (
        ("library", "model_id", lambda row: Path(row["directory"]).is_dir()),
        ("transfers", "target", _is_finished),
    ):
        rows: dict[Any, dict[str, Any]] = {}
        for direction in ("ASC", "DESC"):  # from both ends up to the damage
            try:
                with closing(open_for_reading(damaged)) as db:
                    db.row_factory = sqlite3.Row
                    for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid {direction}"):
                        rows[row[key]] = dict(row)
            except _UNREADABLE:
                continue
        saved[table] = [row for row in rows.values() if _holds(is_true, row)]
    return saved


def _announced(damaged: Path) -> list[str]:
    """The ids of the notifications that were announced; empty where they can't be read."""
    try:
        with closing(open_for_reading(damaged)) as db:
            return read_announced(db)
    except (DamagedCacheError, OSError, sqlite3.Error, ValueError):
        return []


def _is_finished(row: Mapping[str, Any]) -> bool:
    size = Path(row["target"]).stat().st_size
    return bool(row["state"] == "done" and size == row["bytes_done"])


def _holds(is_true: Any, row: Mapping[str, Any]) -> bool:
    try:
        return bool(is_true(row))
    except (OSError, LookupError, TypeError, ValueError):  # not there, or garbage
        return False
