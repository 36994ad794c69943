"""The SQLite file that the ledger is kept in: its tables, its opening, its renewal."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from lora_tui.wal import use_wal

_BUSY_SECONDS: Final = 15.0
_VERSION: Final = 1
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
    updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    stored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, name)
);
"""


def open_or_renew(path: Path) -> sqlite3.Connection:
    """Open it, made where there is none, made anew where it is damaged.

    Raises OSError, sqlite3.Error.
    """
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
    _log.warning("the harvest's state was damaged and is made anew: %s", path)
    _set_aside(path)
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        use_wal(db, patience=_BUSY_SECONDS)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError("written by another version")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")
        db.execute("SELECT 1 FROM jobs, files LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def nowhere() -> sqlite3.Connection:
    """The same tables in memory, for what the file does not take."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    db.executescript(_SCHEMA)
    return db


def _set_aside(path: Path) -> None:
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ".damaged"))
