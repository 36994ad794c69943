"""What the cache knows about itself: whose it is, when it was last true, how far it has read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.clock import now, parse_timestamp, timestamp_text
from lora_tui.errors import (
    DeniedError,
    LoraTuiError,
    QueryTimeoutError,
    SessionEndedError,
    UnreachableError,
)
from lora_tui.processes import is_process_alive
from lora_tui.text import terminal_safe

DOWNLOADS_UNKNOWN: Final = "downloads.unknown"
"""Set in a new cache: downloads that are on the disk are not in it yet."""

UNREADABLE: Final = "unreadable."
"""With a table's name: how many of its rows a sync could not store at all."""


_OWNER_EMAIL: Final = "owner.email"

MODELS_READ: Final = "sync.models"
"""When the models were read to their end; `sync.success` waits for all tables."""
_ELSEWHERE: Final = timedelta(hours=1)
"""How long a sync of another container is believed to run, of which nothing else can be told."""


class Owner(NamedTuple):
    """Whose rows a cache holds."""

    user_id: str
    project: str
    """The project's URL, or what it is known by instead."""


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
    """How old the data is and how the last attempt to renew it ended."""

    last_success: datetime | None
    last_attempt: datetime | None
    running: bool
    error: str | None
    """Why the last attempt failed; None where it did not."""
    error_kind: SyncErrorKind | None = None
    """What kind of failure that was; None where it did not fail, or in an older cache."""

    @property
    def online(self) -> bool:
        """Whether the backend answered when it was last asked."""
        return self.error is None and self.last_success is not None


def get_sync_state(db: sqlite3.Connection) -> SyncState:
    """The state that the status line shows."""
    return SyncState(
        last_success=parse_timestamp(get_value(db, "sync.success")),
        last_attempt=parse_timestamp(get_value(db, "sync.attempt")),
        running=_is_running(get_value(db, "sync.running"), get_value(db, "sync.attempt")),
        error=get_value(db, "sync.error"),
        error_kind=_error_kind(get_value(db, "sync.trouble")),
    )


def models_as_of(db: sqlite3.Connection) -> datetime | None:
    """How old the models are; they may be newer than the last sync that read everything."""
    return parse_timestamp(get_value(db, MODELS_READ) or get_value(db, "sync.success"))


def put_sync_state(db: sqlite3.Connection, state: SyncState, *, process: str) -> None:
    """Replace the state; `process` is the identity of who syncs. Call inside a transaction."""
    for key, value in (
        ("sync.success", timestamp_text(state.last_success) if state.last_success else None),
        ("sync.attempt", timestamp_text(state.last_attempt) if state.last_attempt else None),
        ("sync.running", process if state.running else None),
        ("sync.error", None if state.error is None else terminal_safe(state.error)),
        ("sync.trouble", state.error_kind),
    ):
        put_value(db, key, value)


def claim(db: sqlite3.Connection, owner: Owner) -> bool:
    """Whether the cache is this owner's; one that is nobody's becomes it. In a transaction."""
    held = (get_value(db, "owner.user"), get_value(db, "owner.project"))
    if held == (None, None):
        put_value(db, "owner.user", owner.user_id)
        put_value(db, "owner.project", owner.project)
        return True
    return held == (owner.user_id, owner.project)


def get_owner(db: sqlite3.Connection) -> Owner | None:
    """Whose rows these are; None in a cache that nobody has claimed."""
    user_id, project = get_value(db, "owner.user"), get_value(db, "owner.project")
    return None if user_id is None or project is None else Owner(user_id, project)


def note_email(db: sqlite3.Connection, email: str) -> None:
    """Remember the owner's e-mail address, by which `find_owner` finds the cache."""
    if email and get_value(db, _OWNER_EMAIL) != email:
        put_value(db, _OWNER_EMAIL, email)


def find_owner(caches: Iterable[Path], email: str, project: str) -> str | None:
    """The user id of the cache that has this e-mail address noted; None where there is none.

    A cache that can't be read is passed over.
    """
    for path in caches:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db,
        ):
            noted, owner = get_value(db, _OWNER_EMAIL) or "", get_owner(db)
            if owner is None or owner.project != project:
                continue
            if noted.casefold() == email.strip().casefold():
                return owner.user_id
    return None


def get_value(db: sqlite3.Connection, key: str) -> str | None:
    """One remembered value."""
    found = db.execute("SELECT value FROM facts WHERE key = ?", [key]).fetchone()
    return None if found is None else str(found[0])


def put_value(db: sqlite3.Connection, key: str, value: str | None) -> None:
    """Remember a value, or forget it (None). Call inside a transaction."""
    if value is None:
        db.execute("DELETE FROM facts WHERE key = ?", [key])
    else:
        db.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", [key, value])


def is_due(db: sqlite3.Connection, key: str, every: timedelta) -> bool:
    """Whether the time that is kept under `key` is longer ago than `every`, or none is.

    A time in the future was written by a wrong clock, and is due.
    """
    last = parse_timestamp(get_value(db, key))
    return last is None or not timedelta(0) <= clock.now() - last <= every


def get_cursor(db: sqlite3.Connection, name: str) -> tuple[str, str] | None:
    """How far the remote table `name` has been read: (timestamp, id)."""
    found = db.execute("SELECT moment, id FROM marks WHERE name = ?", [name]).fetchone()
    return None if found is None else (str(found[0]), str(found[1]))


def put_cursor(db: sqlite3.Connection, name: str, moment: str, row_id: str) -> None:
    """Move the mark, in the same transaction as the rows that it stands for."""
    db.execute(
        "INSERT OR REPLACE INTO marks (name, moment, id) VALUES (?, ?, ?)", [name, moment, row_id]
    )


def _error_kind(value: str | None) -> SyncErrorKind | None:
    """A kind that a newer version noted is none that we know."""
    if value is None:
        return None
    return SyncErrorKind(value) if value in list(SyncErrorKind) else SyncErrorKind.OTHER


def _is_running(process: str | None, attempt: str | None) -> bool:
    """A process that was killed in the middle of a sync is not running one."""
    alive = process is not None and is_process_alive(process)
    if alive is not None:
        return alive
    began = parse_timestamp(attempt)
    return began is not None and now() - began < _ELSEWHERE
