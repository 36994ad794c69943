"""What the ledger holds: the state of each job, and the SQLite file that it is kept in."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from lora_tui.errors import DamagedCacheError
from lora_tui.sqlite_file import SIDE_FILES, make_private_database, use_wal, was_emptied


class State(StrEnum):
    """How far the harvest is with a job, whose training has ended."""

    WAITING = "waiting"
    RUNNING = "running"
    """Its result is being imported."""
    FAILED = "failed"
    """The next attempt is due at `next_try`."""
    DEAD = "dead"
    """It failed permanently; only `retry` tries it again."""
    DONE = "done"

    @property
    def label(self) -> str:
        """The word that a user reads, which can't be taken for the state of the training."""
        return _LABELS.get(self, self.value)


_LABELS: Final = {
    State.RUNNING: "importing",
    State.FAILED: "not imported",
    State.DEAD: "given up",
    State.DONE: "imported",
}


@dataclass(frozen=True)
class FileState:
    """One file between the worker and the bucket."""

    name: str
    done: int
    """Bytes that have arrived."""
    total: int | None
    stored: bool


@dataclass(frozen=True)
class JobState:
    """One job as this machine knows it."""

    job_id: str
    external_job_id: str
    name: str
    """Of the model; may be empty before the first attempt."""
    completed_at: datetime | None
    state: State
    attempts: int
    """Failed attempts."""
    next_try: datetime | None
    reason: str | None
    details: str | None
    remedy: str | None
    stars: int | None
    artifact_id: str | None
    updated_at: datetime | None
    holder: str = ""
    """The harvester that works on it, or has made its model; empty where that is unknown."""
    lease_until: datetime | None = None
    """Of a running job that a harvester of the project works on: when its lease expires."""
    files: tuple[FileState, ...] = ()


BUSY_SECONDS: Final = 15.0
_VERSION: Final = 1
_ADDED: Final = {"first_seen", "lease_until"}
"""Columns of `jobs` that earlier releases lack."""
_log: Final = logging.getLogger("lora_tui.harvest")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    external_job_id TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    completed_at TEXT,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try TEXT,
    reason TEXT,
    details TEXT,
    remedy TEXT,
    stars INTEGER,
    artifact_id TEXT,
    holder TEXT NOT NULL DEFAULT '',
    warned INTEGER NOT NULL DEFAULT 0,
    updated_at TEXT NOT NULL,
    first_seen TEXT,
    lease_until TEXT
);
CREATE TABLE IF NOT EXISTS taken_over (taken_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    stored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, name)
);
"""
_INTEGER: Final = "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND {1}"
VALID_VALUES: Final = {
    "jobs": (
        f"state IN ({', '.join(repr(str(state)) for state in State)})",
        _INTEGER.format("attempts", 1_000_000),
        f"(stars IS NULL OR {_INTEGER.format('stars', 5)})",
        _INTEGER.format("warned", 1),
        *(f"typeof({name}) = 'text'" for name in ("job_id", "external_job_id", "name", "holder")),
        *(
            f"typeof({name}) IN ('text', 'null')"
            for name in ("completed_at", "next_try", "reason", "details", "remedy", "artifact_id")
        ),
        "typeof(updated_at) = 'text'",
        "typeof(first_seen) IN ('text', 'null')",
        "typeof(lease_until) IN ('text', 'null')",
    ),
    "files": (
        "typeof(job_id) = 'text'",
        "typeof(name) = 'text'",
        _INTEGER.format("done", 1 << 62),
        f"(total IS NULL OR {_INTEGER.format('total', 1 << 62)})",
        _INTEGER.format("stored", 1),
    ),
}
"""The valid values of each column, as conditions in SQL."""


def open_ledger_file(path: Path) -> sqlite3.Connection:
    """Open the file, make it where it is missing, replace it where it is damaged or incompatible.

    Raises OSError, sqlite3.Error.
    """
    try:
        return _open(path)
    except _OtherVersionError as error:
        aside = _rename_aside(path, f".version{error.version}")
        _log.warning(
            "the harvest's state was written by another version of lora-tui (%d) and starts empty;"
            " the old file is kept as %s",
            error.version,
            aside,
        )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = _rename_aside(path, ".damaged")
        _log.warning(
            "the harvest's state was damaged and starts empty: %s; the old file is kept as %s",
            path,
            aside,
        )
    return _open(path)


class _OtherVersionError(sqlite3.DatabaseError):
    def __init__(self, version: int) -> None:
        super().__init__(f"written by version {version}")
        self.version = version


def _open(path: Path) -> sqlite3.Connection:
    try:
        make_private_database(path)
    except DamagedCacheError as error:  # a directory, a pipe or a broken link has its name
        number = errno.EISDIR if path.is_dir() else errno.EEXIST
        raise OSError(number, os.strerror(number), str(path)) from error
    if was_emptied(path):
        raise sqlite3.DatabaseError("another program has emptied it")
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db)
        use_wal(db, patience=BUSY_SECONDS)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")
        _add_columns(db)
        if not _is_compatible(db):
            if version in (0, _VERSION):
                raise sqlite3.DatabaseError("its tables are not ours")
            raise _OtherVersionError(version)
        db.execute("SELECT 1 FROM jobs, files LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.row_factory = sqlite3.Row
    # a damaged byte affects one character, not the whole row
    db.text_factory = lambda value: value.decode("utf-8", "replace")


def _add_columns(db: sqlite3.Connection) -> None:
    """Add the columns that earlier releases lack; those can still use the file."""
    columns = _columns(db, "jobs")
    if not columns or columns.keys() >= _ADDED:
        return
    db.execute("BEGIN IMMEDIATE")
    for name in _ADDED - _columns(db, "jobs").keys():  # another process may have added it
        db.execute(f"ALTER TABLE jobs ADD COLUMN {name} TEXT")
    db.execute("CREATE TABLE IF NOT EXISTS taken_over (taken_at TEXT NOT NULL)")
    db.execute("COMMIT")


def _is_compatible(db: sqlite3.Connection) -> bool:
    """Whether the tables have all our columns, and require no others."""
    with closing(open_in_memory()) as ours:
        for table in ("jobs", "files"):
            known, found = _columns(ours, table), _columns(db, table)
            if known.keys() - found.keys():
                return False
            if any(found[name] for name in found.keys() - known.keys()):
                return False
    return True


def _columns(db: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Column → whether a row must give it a value."""
    rows = db.execute(f"PRAGMA table_info({table})").fetchall()
    return {row["name"]: bool(row["notnull"]) and row["dflt_value"] is None for row in rows}


def open_in_memory() -> sqlite3.Connection:
    """The same tables in memory, for writes that the file refuses."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(db)
    db.executescript(_SCHEMA)
    return db


def _rename_aside(path: Path, ending: str) -> Path:
    for end in SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)
    return path.replace(path.with_name(path.name + ending))
