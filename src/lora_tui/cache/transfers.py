"""The download queue in the cache: what is wanted, how far each file is, what lies on disk.

    queued ──claim──► running ──► verifying ──► done ◄──► missing · changed
      ▲ ▲               │ │           │           (what the disk says: finished.py)
      │ └──owner died───┴─┼───────────┤                    │
      │                   ▼           ▼                    │
      └──resume/retry── paused · cancelled · failed        │
      └──retry─────────────────────────────────────────────┘

One row for each place on the disk. A row that is in hand names its owner; only that owner writes
progress, and it stops when its row says something else than it wrote (`report` is False).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
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
    PAUSED = "paused"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSING = "missing"
    """It was done, and is not on the disk any more."""
    CHANGED = "changed"
    """It was done, and other bytes are in its place by now."""


ACTIVE = (TransferState.QUEUED, TransferState.RUNNING, TransferState.VERIFYING)
IN_HAND = (TransferState.RUNNING, TransferState.VERIFYING)
FETCHED = (TransferState.DONE, TransferState.MISSING, TransferState.CHANGED)
STOPPED = (
    TransferState.PAUSED,
    TransferState.FAILED,
    TransferState.CANCELLED,
    TransferState.MISSING,
    TransferState.CHANGED,
)
"""What a resume or a retry queues again."""


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
    """How often it was tried again after a failure."""
    sha256: str | None
    """Of what was stored, once it is done."""
    error: str | None
    updated_at: datetime | None
    expected_sha256: str | None = None
    """What the model's manifest promises."""
    force: bool = False
    """Whether another file at the target may be replaced."""
    error_kind: str | None = None
    """The class of the error."""
    modified: int | None = None
    """When the file was written, in nanoseconds, as far as its state is of that file."""


@dataclass(frozen=True)
class Wanted:
    """A file to be queued."""

    file: str
    object_path: str
    target: Path
    size: int | None
    sha256: str | None = None


def enqueue(
    db: sqlite3.Connection, model_id: str, files: Sequence[Wanted], *, force: bool = False
) -> list[int]:
    """Queue files of a model, at the end; the numbers of their rows, in the same order.

    A target that was fetched before starts anew; one that is in hand is left to whoever has it.
    Call inside a transaction.
    """
    moment = timestamp_text(clock.now())
    (last,) = db.execute("SELECT coalesce(max(position), 0) FROM transfers").fetchone()
    ids = []
    for position, wanted in enumerate(files, start=last + 1):
        db.execute(
            "INSERT INTO transfers (model_id, file, object_path, target, state, bytes_done,"
            " bytes_total, expected_sha256, force, position, attempts, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 0, ?, ?)"
            " ON CONFLICT (target) DO UPDATE SET model_id = excluded.model_id,"
            " file = excluded.file, object_path = excluded.object_path, state = excluded.state,"
            " bytes_done = 0, bytes_total = excluded.bytes_total, sha256 = NULL, error = NULL,"
            " error_kind = NULL, expected_sha256 = excluded.expected_sha256, attempts = 0,"
            " modified = NULL,"
            " force = excluded.force, position = excluded.position,"
            " updated_at = excluded.updated_at"
            " WHERE transfers.state NOT IN ('running', 'verifying')",
            [
                model_id,
                wanted.file,
                wanted.object_path,
                str(wanted.target),
                TransferState.QUEUED.value,
                wanted.size,
                wanted.sha256,
                int(force),
                position,
                moment,
                moment,
            ],
        )
        (number,) = db.execute(
            "SELECT id FROM transfers WHERE target = ?", [str(wanted.target)]
        ).fetchone()
        ids.append(number)
    return ids


def claim(
    db: sqlite3.Connection, owner: str, only: Collection[int] | None = None
) -> Transfer | None:
    """Take the next queued file in hand; None where there is none. Call inside a transaction."""
    for row in _select(db, "WHERE state = 'queued' AND owner IS NULL ORDER BY position, id", []):
        if only is None or row.id in only:
            db.execute(
                "UPDATE transfers SET state = 'running', owner = ?, error = NULL,"
                " error_kind = NULL, updated_at = ? WHERE id = ?",
                [owner, timestamp_text(clock.now()), row.id],
            )
            return get_transfer(db, row.id)
    return None


def report(
    db: sqlite3.Connection,
    transfer_id: int,
    owner: str,
    state: TransferState,
    *,
    bytes_done: int | None = None,
    bytes_total: int | None = None,
    attempts: int | None = None,
    sha256: str | None = None,
    modified: int | None = None,
    error: str | None = None,
    error_kind: str | None = None,
) -> bool:
    """Write how far a file in hand is; None leaves a figure as it was.

    False, and nothing is written, where the user has stopped it or it is another's by now. Call
    inside a transaction.
    """
    changed = db.execute(
        "UPDATE transfers SET state = ?, bytes_done = coalesce(?, bytes_done),"
        " bytes_total = coalesce(?, bytes_total), attempts = coalesce(?, attempts),"
        " sha256 = coalesce(?, sha256), modified = ?, error = ?, error_kind = ?, updated_at = ?"
        " WHERE id = ? AND owner = ? AND state IN ('running', 'verifying')",
        [
            state.value,
            bytes_done,
            bytes_total,
            attempts,
            sha256,
            modified,
            error,
            error_kind,
            timestamp_text(clock.now()),
            transfer_id,
            owner,
        ],
    )
    return changed.rowcount == 1


def release(db: sqlite3.Connection, transfer_id: int, owner: str) -> None:
    """Nobody has it in hand any more; what was still running is queued again.

    Call inside a transaction.
    """
    db.execute(
        "UPDATE transfers SET owner = NULL,"
        " state = CASE WHEN state IN ('running', 'verifying') THEN 'queued' ELSE state END"
        " WHERE id = ? AND owner = ?",
        [transfer_id, owner],
    )


def owners(db: sqlite3.Connection) -> list[str]:
    """Who has files in hand, or had them when it died."""
    found = db.execute("SELECT DISTINCT owner FROM transfers WHERE owner IS NOT NULL")
    return [owner for (owner,) in found]


def release_all(db: sqlite3.Connection, owner: str) -> None:
    """That owner is no more: what it had in hand is queued again. Call inside a transaction."""
    for (number,) in db.execute("SELECT id FROM transfers WHERE owner = ?", [owner]).fetchall():
        release(db, number, owner)


def pause(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Stop these for now. Call inside a transaction."""
    _change(db, ids, TransferState.PAUSED, ACTIVE)


def cancel(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Stop these for good; what was fetched is kept for a retry. Call inside a transaction."""
    _change(db, ids, TransferState.CANCELLED, (*ACTIVE, TransferState.PAUSED))


def requeue(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Resume what was paused, retry what failed, was cancelled or has gone from the disk.

    Call inside a transaction.
    """
    db.executemany(
        "UPDATE transfers SET bytes_done = 0 WHERE id = ? AND state IN ('missing', 'changed')",
        [(number,) for number in ids],
    )
    _change(db, ids, TransferState.QUEUED, STOPPED)


def move(db: sqlite3.Connection, transfer_id: int, by: int) -> None:
    """Move a file up (negative) or down among those that are not finished.

    Call inside a transaction.
    """
    order = [row.id for row in queue_of(db) if row.state is not TransferState.DONE]
    if transfer_id not in order:
        return
    index = order.index(transfer_id)
    order.insert(max(0, min(len(order) - 1, index + by)), order.pop(index))
    positions = sorted(
        position
        for number, position in db.execute("SELECT id, position FROM transfers")
        if number in set(order)
    )
    db.executemany(
        "UPDATE transfers SET position = ? WHERE id = ?", list(zip(positions, order, strict=True))
    )


def forget(db: sqlite3.Connection, ids: Collection[int]) -> list[Transfer]:
    """Take files that are not active off the list; those that went. Call inside a transaction."""
    gone = [
        row
        for number in ids
        for row in _select(db, "WHERE id = ? AND owner IS NULL", [number])
        if row.state not in ACTIVE
    ]
    db.executemany("DELETE FROM transfers WHERE id = ?", [(row.id,) for row in gone])
    return gone


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
    """Set a row, whoever has it; None leaves a figure as it was. Call inside a transaction."""
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
    """The files of one model that were ever asked for; of each, the place asked for last."""
    rows = _select(db, "WHERE model_id = ? ORDER BY updated_at, id", [model_id])
    newest: dict[str, Transfer] = {}
    for row in rows:
        before = newest.get(row.file)
        if before is None or before.state not in ACTIVE or row.state in ACTIVE:
            newest[row.file] = row
    return sorted(newest.values(), key=lambda row: row.id)


def queue_of(db: sqlite3.Connection) -> list[Transfer]:
    """Every file that is on the list: unfinished ones in order, then what is done, newest first."""
    rows = _select(db, "ORDER BY position, id", [])
    open_rows = [row for row in rows if row.state is not TransferState.DONE]
    done = [row for row in rows if row.state is TransferState.DONE]
    return [*open_rows, *reversed(done)]


def get_transfer(db: sqlite3.Connection, transfer_id: int) -> Transfer:
    """One file by the number that the queue gave it."""
    return _select(db, "WHERE id = ?", [transfer_id])[0]


def get_transfers(db: sqlite3.Connection, ids: Collection[int]) -> list[Transfer]:
    """Those of these that are still on the list."""
    return [row for number in ids for row in _select(db, "WHERE id = ?", [number])]


def active_transfers(db: sqlite3.Connection) -> list[Transfer]:
    """What is queued, running or being verified, in order."""
    marks = ", ".join("?" for _ in ACTIVE)
    return _select(
        db, f"WHERE state IN ({marks}) ORDER BY position, id", [state.value for state in ACTIVE]
    )


def _change(
    db: sqlite3.Connection,
    ids: Collection[int],
    state: TransferState,
    allowed: Collection[TransferState],
) -> None:
    marks = ", ".join("?" for _ in allowed)
    moment = timestamp_text(clock.now())
    db.executemany(
        f"UPDATE transfers SET state = ?, error = NULL, error_kind = NULL, updated_at = ?"
        f" WHERE id = ? AND state IN ({marks})",
        [[state.value, moment, number, *(s.value for s in allowed)] for number in ids],
    )


def _select(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Transfer]:
    sql = (
        "SELECT id, model_id, file, object_path, target, state, bytes_done, bytes_total,"
        " attempts, sha256, error, updated_at, expected_sha256, force, error_kind, modified"
        f" FROM transfers {rest}"
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
            expected_sha256=row["expected_sha256"],
            force=bool(row["force"]),
            error_kind=row["error_kind"],
            modified=row["modified"],
        )
        for row in db.execute(sql, list(values))
    ]
