"""Files on their way to this disk: their states, how they were verified, and reading them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from lora_tui.clock import parse_timestamp


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


@dataclass(frozen=True)
class Transfer:
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
    """The files with these ids that still exist."""
    return [row for number in ids for row in select(db, "WHERE id = ?", [number])]


def active_transfers(db: sqlite3.Connection) -> list[Transfer]:
    """The files that are queued, running or being verified, in order."""
    marks = ", ".join("?" for _ in ACTIVE)
    return select(
        db, f"WHERE state IN ({marks}) ORDER BY position, id", [state.value for state in ACTIVE]
    )


def select(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Transfer]:
    """The files that the rest of a SELECT (WHERE, ORDER BY) finds."""
    sql = (
        "SELECT id, model_id, file, object_path, target, state, bytes_done, bytes_total,"
        " attempts, sha256, error, updated_at, expected_sha256, force, error_kind, modified,"
        " checked"
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
            checked=checked_of(row["checked"]),
        )
        for row in db.execute(sql, list(values))
    ]


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


def md5_of_etag(etag: str | None) -> str | None:
    """The MD5 in an ETag, in lower case; None for other ETags (of multipart uploads)."""
    found = _MD5.fullmatch(etag or "")
    return found[1].lower() if found else None


_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?', re.IGNORECASE)
