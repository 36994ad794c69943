"""The download queue in the cache: which files, in which order, and who works on each.

    queued ──claim──► running ──► verifying ──► done ◄──► missing · changed
      ▲ ▲               │ │           │           (by the disk: downloaded.py)
      │ └──owner dead───┴─┼───────────┤                    │
      │                   ▼           ▼                    │
      └──resume/retry── paused · cancelled · failed        │
      └──retry─────────────────────────────────────────────┘

There is one row for each target path. A row that a process works on has an owner; only the owner
writes progress, and it stops when the row has changed (`report` returns False).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Generator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import InUseError


class TransferState(StrEnum):
    """The state of a file."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSING = "missing"
    """It was downloaded, and is not on the disk any more."""
    CHANGED = "changed"
    """It was downloaded, and has been changed or replaced since."""


_IDS_AT_ONCE: Final = 500
"""In one query."""
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
"""The states that a resume or a retry queues again."""


class Transfer(NamedTuple):
    """One file of the queue. Signed URLs are secrets, so they are not stored."""

    id: int
    model_id: str
    file: str
    object_path: str
    target: Path
    state: TransferState
    bytes_done: int
    bytes_total: int | None
    attempts: int
    """The number of retries after failures."""
    sha256: str | None
    """Of the downloaded file."""
    error: str | None
    updated_at: datetime | None
    expected_sha256: str | None = None
    """The checksum in the model's manifest."""
    force: bool = False
    """Whether another file at the target may be replaced."""
    error_kind: str | None = None
    """The class name of the error."""
    modified: int | None = None
    """The file's modification time in nanoseconds when its state was determined."""
    checked: Checked | None = None
    """How a finished file was verified."""


def transfers_of(db: sqlite3.Connection, model_id: str) -> list[Transfer]:
    """The files of one model; for a file with several targets, the latest one."""
    rows = select(db, "WHERE model_id = ? ORDER BY updated_at, id", [model_id])
    newest: dict[str, Transfer] = {}
    for row in rows:
        before = newest.get(row.file)
        if before is None or before.state not in ACTIVE or row.state in ACTIVE:
            newest[row.file] = row
    return sorted(newest.values(), key=lambda row: row.id)


def queue_of(db: sqlite3.Connection) -> list[Transfer]:
    """All files: unfinished ones in the order of the queue, then finished ones, newest first."""
    rows = select(db, "ORDER BY position, id", [])
    open_rows = [row for row in rows if row.state is not TransferState.DONE]
    done = [row for row in rows if row.state is TransferState.DONE]
    return [*open_rows, *reversed(done)]


def get_transfer(db: sqlite3.Connection, transfer_id: int) -> Transfer:
    """The file with this id."""
    return select(db, "WHERE id = ?", [transfer_id])[0]


def get_transfers(db: sqlite3.Connection, ids: Collection[int]) -> list[Transfer]:
    """The files with these ids that still exist, in the order of the ids."""
    numbers = list(ids)
    found: dict[int, Transfer] = {}
    for start in range(0, len(numbers), _IDS_AT_ONCE):
        some = numbers[start : start + _IDS_AT_ONCE]
        marks = ", ".join("?" for _ in some)
        found |= {row.id: row for row in select(db, f"WHERE id IN ({marks})", some)}
    return [found[number] for number in numbers if number in found]


def active_transfers(db: sqlite3.Connection) -> list[Transfer]:
    """The files that are queued, running or being verified, in order."""
    marks = ", ".join("?" for _ in ACTIVE)
    return select(
        db, f"WHERE state IN ({marks}) ORDER BY position, id", [state.value for state in ACTIVE]
    )


def has_active(db: sqlite3.Connection, model_id: str) -> bool:
    """Whether a file of a model is queued, running or being verified."""
    marks = ", ".join("?" for _ in ACTIVE)
    found = db.execute(
        f"SELECT 1 FROM transfers WHERE model_id = ? AND state IN ({marks}) LIMIT 1",
        [model_id, *(state.value for state in ACTIVE)],
    )
    return found.fetchone() is not None


def select(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Transfer]:
    """The files that the rest of a SELECT (WHERE, ORDER BY) finds."""
    return list(_iterate(db, rest, values))


def _iterate(
    db: sqlite3.Connection, rest: str, values: Sequence[object]
) -> Generator[Transfer, None, None]:
    sql = (
        "SELECT id, model_id, file, object_path, target, state, bytes_done, bytes_total,"
        " attempts, sha256, error, updated_at, expected_sha256, force, error_kind, modified,"
        " checked"
        f" FROM transfers {rest}"
    )
    for row in db.execute(sql, list(values)):
        yield Transfer(
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
            checked=checked_of(row["checked"]),
        )


class Checked(StrEnum):
    """The strongest check that a file has passed. Each includes a check of its length."""

    SHA256 = "sha256"
    """Compared with the manifest's checksum."""
    ETAG = "etag-md5"
    """Compared with the storage's ETag, which is the MD5 of the bytes."""
    STRUCTURE = "structure"
    """There was no checksum; the structure (safetensors, JSON, zip) is valid."""
    LENGTH = "length"
    """There was neither a checksum nor a structure to check."""

    @property
    def proven(self) -> bool:
        """Whether a checksum of all bytes was compared."""
        return self in (Checked.SHA256, Checked.ETAG)

    @property
    def sentence(self) -> str:
        """A phrase for a line about one file."""
        return _SENTENCES[self]

    @property
    def word(self) -> str:
        """A word for a narrow column."""
        return "verified" if self.proven else self.value


_SENTENCES: Final = {
    Checked.SHA256: "verified by its sha256",
    Checked.ETAG: "verified by the MD5 in its ETag",
    Checked.STRUCTURE: "structure checked; there is no checksum to compare",
    Checked.LENGTH: "only its length was checked; there is no checksum to compare",
}


def checked_of(value: object) -> Checked | None:
    """The check that a text of a record or of the cache names; None for any other value."""
    return Checked(value) if isinstance(value, str) and value in list(Checked) else None


class FileRequest(NamedTuple):
    """A file to add to the queue."""

    file: str
    object_path: str
    target: Path
    size: int | None
    sha256: str | None = None
    checked: Checked | None = None
    """How a file that is already on the disk was verified."""


def enqueue(
    db: sqlite3.Connection, model_id: str, files: Sequence[FileRequest], *, force: bool = False
) -> list[int]:
    """Append files of a model to the queue; returns the ids of their rows in the same order.

    A target that was downloaded before starts again; one that has an owner stays as it is. Call
    inside a transaction. Raises InUseError if another model's file is being written to a target.
    """
    for wanted in files:
        _check_place(db, model_id, wanted)
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
            " checked = NULL, force = excluded.force, position = excluded.position,"
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


def _check_place(db: sqlite3.Connection, model_id: str, wanted: FileRequest) -> None:
    for row in select(db, "WHERE target = ?", [str(wanted.target)]):
        if row.state in ACTIVE and (row.model_id, row.file) != (model_id, wanted.file):
            raise InUseError(
                "Another model's file is being downloaded to this place",
                details=str(wanted.target),
                remedy="wait for it, stop it (the transfers screen), or choose another directory"
                " with --to",
            )


def claim(
    db: sqlite3.Connection,
    owner: str,
    only: Collection[int] | None = None,
    may_begin: Callable[[Transfer], bool] = lambda _row: True,
) -> Transfer | None:
    """Make `owner` the owner of the next queued file and return it, or None. In a transaction.

    `only`: the ids of the rows to choose from. Files that may not begin yet are passed over.
    """
    queued = _iterate(db, "WHERE state = 'queued' AND owner IS NULL ORDER BY position, id", [])
    for row in queued:
        if (only is None or row.id in only) and may_begin(row):
            queued.close()
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
    checked: Checked | None = None,
    error: str | None = None,
    error_kind: str | None = None,
) -> bool:
    """Write the progress of a file; None leaves a value unchanged. Call inside a transaction.

    Returns False, and writes nothing, if the user has stopped the file or it has another owner.
    """
    changed = db.execute(
        "UPDATE transfers SET state = ?, bytes_done = coalesce(?, bytes_done),"
        " bytes_total = coalesce(?, bytes_total), attempts = coalesce(?, attempts),"
        " sha256 = coalesce(?, sha256), modified = ?, checked = ?, error = ?, error_kind = ?,"
        " updated_at = ? WHERE id = ? AND owner = ? AND state IN ('running', 'verifying')",
        [
            state.value,
            bytes_done,
            bytes_total,
            attempts,
            sha256,
            modified,
            checked,
            error,
            error_kind,
            timestamp_text(clock.now()),
            transfer_id,
            owner,
        ],
    )
    return changed.rowcount == 1


def release(db: sqlite3.Connection, transfer_id: int, owner: str) -> None:
    """Remove the owner of a file; if it was running, queue it again. Call inside a transaction."""
    db.execute(
        "UPDATE transfers SET owner = NULL,"
        " state = CASE WHEN state IN ('running', 'verifying') THEN 'queued' ELSE state END"
        " WHERE id = ? AND owner = ?",
        [transfer_id, owner],
    )


def owners(db: sqlite3.Connection) -> list[str]:
    """The owners of files, including owners that have died."""
    found = db.execute("SELECT DISTINCT owner FROM transfers WHERE owner IS NOT NULL")
    return [owner for (owner,) in found]


def holders(db: sqlite3.Connection, ids: Collection[int]) -> dict[int, str]:
    """Id → owner token, for those of these files that have an owner."""
    rows = db.execute("SELECT id, owner FROM transfers WHERE owner IS NOT NULL")
    return {number: owner for number, owner in rows if number in ids}


def release_all(db: sqlite3.Connection, owner: str) -> None:
    """Release all files of an owner that has died. Call inside a transaction."""
    for (number,) in db.execute("SELECT id FROM transfers WHERE owner = ?", [owner]).fetchall():
        release(db, number, owner)


def pause(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Pause these files. Call inside a transaction."""
    _change(db, ids, TransferState.PAUSED, ACTIVE)


def cancel(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Cancel these files; their partial data is kept for a retry. Call inside a transaction."""
    _change(db, ids, TransferState.CANCELLED, (*ACTIVE, TransferState.PAUSED))


def requeue(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Queue files again that are paused, failed, cancelled, missing or changed.

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


def remove(db: sqlite3.Connection, ids: Collection[int]) -> list[Transfer]:
    """Remove inactive files from the queue; returns those removed. Call inside a transaction."""
    gone = [
        row
        for number in ids
        for row in select(db, "WHERE id = ? AND owner IS NULL", [number])
        if row.state not in ACTIVE
    ]
    db.executemany("DELETE FROM transfers WHERE id = ?", [(row.id,) for row in gone])
    return gone


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
