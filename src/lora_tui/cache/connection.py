"""Opening the cache: one private file a profile and user, WAL, and errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_tui.cache.changes import Topic, publish
from lora_tui.cache.schema import SCHEMA_VERSION, migrate
from lora_tui.errors import CacheError, DiskError

_BUSY_SECONDS = 15.0


def open_cache(path: Path) -> sqlite3.Connection:
    """Open the cache at `path`, made and migrated where that is needed.

    A connection belongs to one thread; open another one elsewhere, SQLite keeps them apart.
    Nothing is written outside `transaction`. Raises CacheError for a file that is damaged or was
    written by a newer version, DiskError where the directory refuses.
    """
    with explained(path):
        _make_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        with explained(path):
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise CacheError(
                    f"The cache was written by a newer lora-tui (schema {version})",
                    details=str(path),
                    remedy="update lora-tui, or run `lora-tui cache clear`",
                )
            if version < SCHEMA_VERSION:
                migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *topics: Topic) -> Iterator[None]:
    """Write to the cache: all or nothing; the feed then says that `topics` changed."""
    with explained():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            publish(connection, topics)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def explained(path: Path | None = None) -> Iterator[None]:
    """Turn what SQLite and the file system raise into the error family."""
    details = str(path) if path else None
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "full" in text:
            raise DiskError(
                "The disk is full: the cache can't be written",
                details=details,
                remedy="free some space; nothing half-written was kept",
            ) from error
        if "readonly" in text or "unable to open" in text:
            raise DiskError(
                "The cache can't be written: permission denied or read-only",
                details=details,
                remedy="check the directory's owner and permissions, or set LORA_TUI_HOME",
            ) from error
        if "locked" in text or "busy" in text:
            raise CacheError(
                "The cache is held by another process",
                details=details,
                remedy="end the other lora-tui, then try again",
            ) from error
        raise CacheError(f"The cache can't be read: {text}", details=details) from error
    except sqlite3.DatabaseError as error:
        raise CacheError(
            "The cache file is damaged", details=f"{details or 'cache'}: {error}"
        ) from error
    except OSError as error:
        raise DiskError(
            f"The cache can't be opened: {error.strerror or error}",
            details=details,
            remedy="check the directory's owner and permissions, or set LORA_TUI_HOME",
        ) from error


def delete_cache(path: Path) -> bool:
    """Remove the cache's files; True where there was one."""
    existed = path.exists()
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return existed


def _make_private(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the main file, so set that first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
