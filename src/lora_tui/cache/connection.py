"""Opens the cache, one private file for each profile and user, and runs transactions on it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lora_tui.cache.changes import Topic, publish
from lora_tui.cache.metadata import DOWNLOADS_UNKNOWN, Owner, claim, get_owner, put_value
from lora_tui.cache.schema import SCHEMA_VERSION, TABLES, migrate
from lora_tui.cache.sums import SUMMED, find_damaged_index, schema_sum, table_sums
from lora_tui.errors import CacheError, DamagedCacheError, LoraTuiError
from lora_tui.files import disk_error
from lora_tui.sqlite_file import (
    ACCESS_CODES,
    database_error,
    has_damaged_header,
    is_writable,
    lacks_locks,
    make_private_database,
    open_for_reading,
    sqlite_code,
    use_wal,
    was_emptied,
)

BUSY_SECONDS: Final = 15.0
_CACHE_KIB: Final = 32_768
PAGE_BYTES: Final = 16_384
"""Of a new file. A page of SQLite's usual 4,096 holds one row of a model and is half empty: a sync
would write twice as much."""
_DAMAGED: Final = "The cache file is damaged"
_INSTEAD: Final = "set LORA_TUI_HOME to another directory"
MANY_MODELS: Final = 20_000
"""An update of fewer takes less than a second."""
_MIGRATED_A_SECOND: Final = 20_000
_NO_VERSION: Final = 1_000_000
"""A schema number that is never reached; a larger one means a damaged header."""
_DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG)
_MISLEADING: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_ERROR)
"""Codes that SQLite also raises for a damaged header."""
_DISK_CODES: Final = (sqlite3.SQLITE_FULL, *ACCESS_CODES)


def open_existing(path: Path, owner: Owner | None = None) -> sqlite3.Connection:
    """Like `open_cache`, but raises CacheError instead of creating a file.

    For threads that may still read while the user signs out and the cache is removed.
    """
    if not path.exists():
        raise CacheError("The cache was removed")
    return open_cache(path, owner)


def open_cache(
    path: Path,
    owner: Owner | None = None,
    *,
    on_migration: Callable[[str], None] | None = None,
) -> sqlite3.Connection:
    """Open the cache at `path`; create it, or bring its schema up to date, if necessary.

    `on_migration` is told a sentence for the user before an update that takes seconds. Use a
    connection in one thread only, and write only inside `transaction`. A new cache becomes
    the `owner`'s. A file that can't be written to, as on a read-only mount, is opened to read it.
    Raises DamagedCacheError; CacheError for a file of a newer version or of another account or
    project; DiskError if the file can't be created or read.
    """
    with translate_errors(path):
        is_read_only = path.exists() and not is_writable(path)
        if is_read_only:
            connection = open_for_reading(path, timeout=BUSY_SECONDS, isolation_level=None)
        else:
            make_private_database(path)
            if was_emptied(path):
                raise DamagedCacheError(_DAMAGED, details=f"{path} was emptied by another program")
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        with translate_errors(path):
            connection.row_factory = sqlite3.Row
            if not is_read_only:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # no effect on a used file
                use_wal(connection, patience=BUSY_SECONDS)
                connection.execute("PRAGMA synchronous = NORMAL")
            # large enough for the leaf pages of all indexes, most of which a sync writes to
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            version = _version(connection)
            if not 0 <= version < _NO_VERSION or not _is_utf_8(connection):
                raise DamagedCacheError(_DAMAGED, details=f"{path}: its header is damaged")
            if version > SCHEMA_VERSION:
                raise CacheError(
                    f"The cache was written by a newer lora-tui (schema {version})",
                    details=str(path),
                    remedy="update lora-tui, or run `lora-tui cache clear`",
                )
            if version < SCHEMA_VERSION and is_read_only:
                raise CacheError(
                    "The cache is one of an older lora-tui, and can't be updated here:"
                    " it is read-only",
                    details=str(path),
                    remedy=_INSTEAD,
                )
            if version < SCHEMA_VERSION:
                _migrate(connection, on_migration)
            _check_tables(connection)
            fault = find_damaged_index(connection)
            if fault is not None:
                raise DamagedCacheError(_DAMAGED, details=f"{path}: {fault}")
            if owner is not None:
                _check_owner(connection, owner, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *topics: Topic) -> Iterator[None]:
    """Write to the cache, all or nothing; the change feed then reports `topics`."""
    from lora_tui.cache.write_turns import write_turn  # needs threads, which `list` does not load

    path = path_of(connection)
    with translate_errors(path), write_turn(path, BUSY_SECONDS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            publish(connection, topics)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the first error is the one to report
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise


@contextmanager
def translate_errors(path: Path | None = None) -> Iterator[None]:
    """Translate errors of SQLite and of the file system into the error family."""
    try:
        with translate_database_errors(path):
            yield
    except OSError as error:
        raise disk_error(error, "The cache can't be opened", path, instead=_INSTEAD) from error


@contextmanager
def translate_database_errors(path: Path | None = None) -> Iterator[None]:
    """Translate errors of SQLite into the error family; for a block that does other things too.

    Text that is not UTF-8 and broken JSON are damage as well: the cache never writes them.
    """
    details = str(path) if path else "cache"
    try:
        yield
    except sqlite3.Error as error:
        translated = _translated(error, details, path)
        if translated is None:
            raise
        raise translated from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:  # the latter from SQLite's messages
        raise DamagedCacheError(_DAMAGED, details=f"{details}: {error}") from error


def path_of(connection: sqlite3.Connection) -> Path:
    """The file behind a connection."""
    with translate_database_errors():
        return Path(connection.execute("PRAGMA database_list").fetchone()[2])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_utf_8(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA encoding").fetchone()[0] == "UTF-8")


def _migrate(connection: sqlite3.Connection, tell: Callable[[str], None] | None) -> None:
    """Create or update the tables, unless another process has just done it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        if found < SCHEMA_VERSION:
            if tell and found and (models := _count_models(connection)) >= MANY_MODELS:
                tell(
                    f"The cache is brought up to date for this version, once: {models:,} models,"
                    f" about {-(-models // _MIGRATED_A_SECOND)} s."
                )
            migrate(connection)
            put_value(connection, DOWNLOADS_UNKNOWN, "1")
        connection.execute("COMMIT")
    except BaseException as error:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        # no version of ours left these tables
        if sqlite_code(error) == sqlite3.SQLITE_ERROR:
            raise DamagedCacheError(_DAMAGED, details=str(error)) from error
        raise


def _count_models(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM models").fetchone()[0])


def _check_tables(connection: sqlite3.Connection) -> None:
    there = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    missing = sorted(TABLES - there)
    if missing:
        raise DamagedCacheError(_DAMAGED, details=f"missing tables: {', '.join(missing)}")
    kept = table_sums(connection)
    if kept.get("schema") != (0, schema_sum(connection)) or kept.keys() < SUMMED.keys() - {
        "curves"
    }:
        raise DamagedCacheError(_DAMAGED, details="its tables are not those of lora-tui")


def _check_owner(connection: sqlite3.Connection, owner: Owner, path: Path) -> None:
    if get_owner(connection) == owner:
        return  # without a lock
    with transaction(connection):
        ours = claim(connection, owner)
    if not ours:
        raise CacheError(
            "This cache belongs to another account or project",
            details=str(path),
            remedy="run `lora-tui cache clear`; it is rebuilt by the next sync",
        )


def _translated(error: sqlite3.Error, details: str, path: Path | None) -> LoraTuiError | None:
    """The error for the user; None for a bug of ours."""
    code, text = sqlite_code(error), str(error)
    misleads = code in _MISLEADING and path is not None and has_damaged_header(path)
    if code in _DAMAGE_CODES or misleads or _is_message_of_damage(text):
        return DamagedCacheError(_DAMAGED, details=f"{details}: {text}")
    if code in _DISK_CODES or (path is not None and lacks_locks(error, path)):
        return database_error(error, "The cache can't be read or written", path, instead=_INSTEAD)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        from lora_tui.processes import LockHolder, database_writer, in_use_error

        holder = database_writer(path) if path else LockHolder()
        held = in_use_error("The cache is held by another process", holder, details, CacheError)
        held.remedy = f"{holder.remedy}; then try again"
        return held
    if isinstance(error, sqlite3.OperationalError):
        return CacheError(f"The cache can't be read: {text}", details=details)
    return None


def _is_message_of_damage(text: str) -> bool:
    """Whether SQLite reports a missing table of ours or invalid text.

    Compares the whole message: it may quote a search, and what a user types is no damage.
    """
    missing = text.removeprefix("no such table: ").removeprefix("main.")
    return text.startswith("Could not decode to UTF-8") or (text != missing and missing in TABLES)
