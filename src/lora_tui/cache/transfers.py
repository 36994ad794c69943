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
    checked: Checked | None = None
    """How a finished file was verified."""


def transfers_of(db: sqlite3.Connection, model_id: str) -> list[Transfer]:
    """The files of one model that were ever asked for; of each, the place asked for last."""
    rows = select(db, "WHERE model_id = ? ORDER BY updated_at, id", [model_id])
    newest: dict[str, Transfer] = {}
    for row in rows:
        before = newest.get(row.file)
        if before is None or before.state not in ACTIVE or row.state in ACTIVE:
            newest[row.file] = row
    return sorted(newest.values(), key=lambda row: row.id)


def queue_of(db: sqlite3.Connection) -> list[Transfer]:
    """Every file that is on the list: unfinished ones in order, then what is done, newest first."""
    rows = select(db, "ORDER BY position, id", [])
    open_rows = [row for row in rows if row.state is not TransferState.DONE]
    done = [row for row in rows if row.state is TransferState.DONE]
    return [*open_rows, *reversed(done)]


def get_transfer(db: sqlite3.Connection, transfer_id: int) -> Transfer:
    """One file by the number that the queue gave it."""
    return select(db, "WHERE id = ?", [transfer_id])[0]


def get_transfers(db: sqlite3.Connection, ids: Collection[int]) -> list[Transfer]:
    """Those of these that are still on the list."""
    return [row for number in ids for row in select(db, "WHERE id = ?", [number])]


def active_transfers(db: sqlite3.Connection) -> list[Transfer]:
    """What is queued, running or being verified, in order."""
    marks = ", ".join("?" for _ in ACTIVE)
    return select(
        db, f"WHERE state IN ({marks}) ORDER BY position, id", [state.value for state in ACTIVE]
    )


def select(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Transfer]:
    """Those that the rest of a SELECT (WHERE, ORDER BY) finds."""
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
    """The strongest check that a file has passed. Each includes its length."""

    SHA256 = "sha256"
    """With the manifest's checksum."""
    ETAG = "etag-md5"
    """With the storage's ETag, which is the MD5 of the bytes."""
    STRUCTURE = "structure"
    """There was no checksum; what is inside (safetensors, JSON, zip) makes sense."""
    LENGTH = "length"
    """There was no checksum, and nothing inside that could be looked at."""

    @property
    def proven(self) -> bool:
        """Whether every byte was compared with what was stored."""
        return self in (Checked.SHA256, Checked.ETAG)

    @property
    def sentence(self) -> str:
        """For a line about one file."""
        return _SENTENCES[self]

    @property
    def word(self) -> str:
        """For a narrow column."""
        return "verified" if self.proven else self.value


_SENTENCES: Final = {
    Checked.SHA256: "verified by its sha256",
    Checked.ETAG: "verified by the MD5 in its ETag",
    Checked.STRUCTURE: "structure checked; there is no checksum to compare",
    Checked.LENGTH: "only its length was checked; there is no checksum to compare",
}


def checked_of(value: object) -> Checked | None:
    """From the text of a record or of the cache; None for an unknown text or none."""
    return Checked(value) if isinstance(value, str) and value in list(Checked) else None


def md5_of_etag(etag: str | None) -> str | None:
    """The MD5 in an ETag, in lower case; None for any other, as `md5-N` of an upload in parts."""
    found = _MD5.fullmatch(etag or "")
    return found[1].lower() if found else None


_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?', re.IGNORECASE)
