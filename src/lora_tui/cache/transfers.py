"""The download queue in the cache: what is wanted, how far each file is, what lies on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from lora_tui import clock
from lora_tui.clock import parse_timestamp, timestamp_text


class TransferState(StrEnum):
    """Where a file stands."""

    QUEUED = "queued"
    RUNNING = "running"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (TransferState.QUEUED, TransferState.RUNNING, TransferState.VERIFYING)


@dataclass(frozen=True)
class Transfer:
    """One file on its way to this disk. No URL is kept: signed URLs are secrets of an hour."""

    id: int
    model_id: str
    file: str
    object_path: str
    target: Path
    state: TransferState
    bytes_done: int
    bytes_total: int | None
    attempts: int
    sha256: str | None
    """Of what was stored, once it is done."""
    error: str | None
    updated_at: datetime | None


@dataclass(frozen=True)
class Wanted:
    """A file to be queued."""

    file: str
    object_path: str
    target: Path
    size: int | None


def enqueue(db: sqlite3.Connection, model_id: str, files: Sequence[Wanted]) -> None:
    """Queue files of a model; one that is queued or was fetched before starts anew.

    Call inside a transaction.
    """
    moment = timestamp_text(clock.now())
    db.executemany(
        "INSERT INTO transfers (model_id, file, object_path, target, state, bytes_done,"
        " bytes_total, attempts, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 0, ?, 0, ?, ?)"
        " ON CONFLICT (model_id, file) DO UPDATE SET object_path = excluded.object_path,"
        " target = excluded.target, state = excluded.state, bytes_done = 0, sha256 = NULL,"
        " bytes_total = excluded.bytes_total, error = NULL, updated_at = excluded.updated_at",
        [
            (
                model_id,
                wanted.file,
                wanted.object_path,
                str(wanted.target),
                TransferState.QUEUED.value,
                wanted.size,
                moment,
                moment,
            )
            for wanted in files
        ],
    )


def update(
    db: sqlite3.Connection,
    transfer_id: int,
    state: TransferState,
    *,
    bytes_done: int | None = None,
    bytes_total: int | None = None,
    sha256: str | None = None,
    error: str | None = None,
    attempts: int | None = None,
) -> None:
    """Write how far a file is; None leaves a figure as it was. Call inside a transaction."""
    db.execute(
        "UPDATE transfers SET state = ?, bytes_done = coalesce(?, bytes_done),"
        " bytes_total = coalesce(?, bytes_total), sha256 = coalesce(?, sha256), error = ?,"
        " attempts = coalesce(?, attempts), updated_at = ? WHERE id = ?",
        [
            state.value,
            bytes_done,
            bytes_total,
            sha256,
            error,
            attempts,
            timestamp_text(clock.now()),
            transfer_id,
        ],
    )


def transfers_of(db: sqlite3.Connection, model_id: str) -> list[Transfer]:
    """The files of one model that were ever asked for."""
    return _select(db, "WHERE model_id = ? ORDER BY id", [model_id])


def get_transfer(db: sqlite3.Connection, transfer_id: int) -> Transfer:
    """One file by the number that the queue gave it."""
    return _select(db, "WHERE id = ?", [transfer_id])[0]


def active_transfers(db: sqlite3.Connection) -> list[Transfer]:
    """What is queued, running or being verified, in order."""
    marks = ", ".join("?" for _ in ACTIVE)
    return _select(db, f"WHERE state IN ({marks}) ORDER BY id", [state.value for state in ACTIVE])


def put_downloaded(db: sqlite3.Connection, model_id: str, directory: Path) -> None:
    """Remember that all files of a model lie in `directory`. Call inside a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO library (model_id, directory, completed_at) VALUES (?, ?, ?)",
        [model_id, str(directory), timestamp_text(clock.now())],
    )


def downloaded_to(db: sqlite3.Connection, model_id: str) -> Path | None:
    """Where the whole model lies on this disk; None where it was not downloaded."""
    sql = "SELECT directory FROM library WHERE model_id = ?"
    found = db.execute(sql, [model_id]).fetchone()
    return None if found is None else Path(found[0])


def _select(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Transfer]:
    sql = (
        "SELECT id, model_id, file, object_path, target, state, bytes_done, bytes_total,"
        f" attempts, sha256, error, updated_at FROM transfers {rest}"
    )
    return [
        Transfer(
            id=row["id"],
            model_id=row["model_id"],
            file=row["file"],
            object_path=row["object_path"],
            target=Path(row["target"]),
            state=TransferState(row["state"]),
            bytes_done=row["bytes_done"],
            bytes_total=row["bytes_total"],
            attempts=row["attempts"],
            sha256=row["sha256"],
            error=row["error"],
            updated_at=parse_timestamp(row["updated_at"]),
        )
        for row in db.execute(sql, list(values))
    ]
