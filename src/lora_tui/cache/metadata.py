"""What the cache stores about itself: its owner, the last sync, the cursors of the sync."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import (
    DamagedCacheError,
    DeniedError,
    DiskError,
    LoraTuiError,
    QueryTimeoutError,
    SessionEndedError,
    UnreachableError,
)
from lora_tui.sqlite_file import ACCESS_CODES, database_error, open_for_reading, sqlite_code
from lora_tui.text import terminal_safe

DOWNLOADS_UNKNOWN: Final = "downloads.unknown"
"""Set in a new cache until the downloads on the disk were imported."""

REBUILT: Final = "cache.rebuilt"
"""Set in a cache that was rebuilt from an older schema, until a sync has succeeded."""

ANNOUNCED_BEFORE: Final = "notifications.announced"
"""The ids of the notifications that were announced before the cache was rebuilt, as JSON."""

MARKS_STAMP: Final = "marks.stamp"
"""The `file_stamp` of the marks file that the copy of one's own marks was made of."""

UNREADABLE: Final = "unreadable."
"""Prefix of a table's name: the number of its rows that a sync could not store."""
UNREAD: Final = "sync.unread."
"""Prefix of the name of a table that the others do not need: why it could not be read."""
MISSING_ROWS: Final = "sync.left."
"""Prefix of a table's name: how many rows the cache lacked after the last comparison."""
SERVER_TIME: Final = "sync.asked."
"""Prefix of a table's name: the server's time at the last sync of the table."""


_END_NOT_NOTED: Final = "A sync has ended, and how it ended could not be stored in the cache"
"""As when the disk is full: the process runs on, and nobody holds the lock of the sync."""
_OWNER_EMAIL: Final = "owner.email"

MODELS_READ: Final = "sync.models"
"""The time of the last sync that read all models; `sync.success` is for all tables."""


class Owner(NamedTuple):
    """Whose rows a cache holds."""

    user_id: str
    project: str
    """The project's URL, or the name that replaces it (the demo)."""


class SyncErrorKind(StrEnum):
    """Why a sync failed, as far as the remedies differ."""

    UNREACHABLE = "unreachable"
    LOGIN = "login"
    DENIED = "denied"
    OTHER = "other"

    @classmethod
    def of(cls, error: LoraTuiError) -> SyncErrorKind:
        """The kind of an error that ended a sync."""
        if isinstance(error, SessionEndedError):
            return cls.LOGIN
        if isinstance(error, DeniedError):
            return cls.DENIED
        if isinstance(error, UnreachableError) and not isinstance(error, QueryTimeoutError):
            return cls.UNREACHABLE
        return cls.OTHER


class SyncState(NamedTuple):
    """The age of the data, and the result of the last sync."""

    last_success: datetime | None
    last_attempt: datetime | None
    running: bool
    error: str | None
    """The sentence of the error that ended the last sync; None if it succeeded."""
    error_kind: SyncErrorKind | None = None
    """None if the last sync succeeded, or in a cache of an older version."""
    rebuilt: bool = False
    """Whether the cache was rebuilt from an older schema, and no sync has succeeded since."""

    @property
    def online(self) -> bool:
        """Whether the last sync succeeded."""
        return self.error is None and self.last_success is not None


def get_sync_state(db: sqlite3.Connection) -> SyncState:
    """The state that the status line shows."""
    state = SyncState(
        last_success=parse_timestamp(get_value(db, "sync.success")),
        last_attempt=parse_timestamp(get_value(db, "sync.attempt")),
        running=False,
        error=get_value(db, "sync.error"),
        error_kind=_error_kind(get_value(db, "sync.trouble")),
        rebuilt=is_rebuilt(db),
    )
    process = get_value(db, "sync.running")
    if process is None:
        return state
    from lora_tui.processes import is_process_alive

    alive, running = is_process_alive(process), False
    if alive is not False:
        locked = _is_sync_locked(db)
        running = bool(alive) if locked is None else locked
    if alive and not running:
        if get_value(db, "sync.running") != process:  # its end was noted just now
            return get_sync_state(db)
        return state._replace(error=_END_NOT_NOTED, error_kind=SyncErrorKind.OTHER)
    return state._replace(running=running)


def is_rebuilt(db: sqlite3.Connection) -> bool:
    """Whether the cache was rebuilt from an older schema, and no sync has succeeded since."""
    return get_value(db, REBUILT) is not None


def models_as_of(db: sqlite3.Connection) -> datetime | None:
    """The time of the last sync that read all models; it may have failed in another table."""
    return parse_timestamp(get_value(db, MODELS_READ) or get_value(db, "sync.success"))


def put_sync_state(db: sqlite3.Connection, state: SyncState, *, process: str) -> None:
    """Replace the state; `process` identifies the syncing process. Call inside a transaction."""
    for key, value in (
        ("sync.success", timestamp_text(state.last_success) if state.last_success else None),
        ("sync.attempt", timestamp_text(state.last_attempt) if state.last_attempt else None),
        ("sync.running", process if state.running else None),
        ("sync.error", None if state.error is None else terminal_safe(state.error)),
        ("sync.trouble", state.error_kind),
    ):
        put_value(db, key, value)
    if state.last_success is not None:
        put_value(db, REBUILT, None)
        put_value(db, ANNOUNCED_BEFORE, None)


def claim(db: sqlite3.Connection, owner: Owner) -> bool:
    """Whether the cache is this owner's; one without an owner becomes it. In a transaction."""
    held = (get_value(db, "owner.user"), get_value(db, "owner.project"))
    if held == (None, None):
        put_value(db, "owner.user", owner.user_id)
        put_value(db, "owner.project", owner.project)
        return True
    return held == (owner.user_id, owner.project)


def get_owner(db: sqlite3.Connection) -> Owner | None:
    """The owner; None for a new cache."""
    user_id, project = get_value(db, "owner.user"), get_value(db, "owner.project")
    return None if user_id is None or project is None else Owner(user_id, project)


def note_email(db: sqlite3.Connection, email: str) -> None:
    """Remember the owner's e-mail address, by which `find_owner` finds the cache."""
    if email and get_value(db, _OWNER_EMAIL) != email:
        put_value(db, _OWNER_EMAIL, email)


def find_owner(caches: Iterable[Path], email: str, project: str) -> str | None:
    """The user id of the cache that has this e-mail address noted; None where there is none.

    Leaves no file beside a cache. A damaged cache is passed over. Raises DiskError where the cache
    was not found, and one of them can't be read.
    """
    failure: DiskError | None = None
    for path in caches:
        try:
            with closing(open_for_reading(path)) as db:
                noted, owner = get_value(db, _OWNER_EMAIL) or "", get_owner(db)
        except DamagedCacheError:
            continue
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError) or sqlite_code(error) in ACCESS_CODES:
                failure = database_error(error, "The cache can't be opened", path)
            continue
        if owner is None or owner.project != project:
            continue
        if noted.casefold() == email.strip().casefold():
            return owner.user_id
    if failure is not None:
        raise failure
    return None


def get_value(db: sqlite3.Connection, key: str) -> str | None:
    """The value that is stored under a key; None if there is none."""
    found = db.execute("SELECT value FROM facts WHERE key = ?", [key]).fetchone()
    return None if found is None else str(found[0])


def put_value(db: sqlite3.Connection, key: str, value: str | None) -> None:
    """Store a value, or delete it (None). Call inside a transaction."""
    if value is None:
        db.execute("DELETE FROM facts WHERE key = ?", [key])
    else:
        db.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", [key, value])


def is_due(db: sqlite3.Connection, key: str, every: timedelta) -> bool:
    """Whether the time stored under `key` is older than `every`, or there is none.

    A time in the future was written by a wrong clock, and is due.
    """
    last = parse_timestamp(get_value(db, key))
    return last is None or not timedelta(0) <= clock.now() - last <= every


def get_cursor(db: sqlite3.Connection, name: str) -> tuple[str, str] | None:
    """The (timestamp, id) of the last row that a sync read from the remote table `name`."""
    found = db.execute("SELECT moment, id FROM marks WHERE name = ?", [name]).fetchone()
    return None if found is None else (str(found[0]), str(found[1]))


def put_cursor(db: sqlite3.Connection, name: str, moment: str, row_id: str) -> None:
    """Store the cursor. Call inside the transaction that writes the rows up to it."""
    db.execute(
        "INSERT OR REPLACE INTO marks (name, moment, id) VALUES (?, ?, ?)", [name, moment, row_id]
    )


def _error_kind(value: str | None) -> SyncErrorKind | None:
    """OTHER for a kind that only a newer version knows."""
    if value is None:
        return None
    return SyncErrorKind(value) if value in list(SyncErrorKind) else SyncErrorKind.OTHER


def _is_sync_locked(db: sqlite3.Connection) -> bool | None:
    """Whether a sync holds its lock, which also tells of one whose end a full disk did not take.

    None where that can't be told.
    """
    from lora_tui.cache.cache_file import is_sync_running  # late: `list` loads this module
    from lora_tui.cache.connection import path_of

    return is_sync_running(path_of(db))
