"""What a user can do with files of the queue. The fetching process reads it in the cache."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from sqlite3 import Connection

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.transfer_queue import ACTIVE, TransferState, transfers_of
from lora_tui.errors import AuthenticationError, error_of_kind
from lora_tui.transfers.model_directory import release_directory
from lora_tui.transfers.part import discard_part


class Control(StrEnum):
    """One key of the transfers screen."""

    PAUSE = "pause"
    RESUME = "resume"
    """Resume a paused file; retry a failed or cancelled one."""
    CANCEL = "cancel"
    UP = "up"
    DOWN = "down"
    FORGET = "forget"
    """Remove from the list, with its partial file; a finished file stays."""


def cancel_model(db: Connection, model_id: str) -> None:
    """Cancel the active files of a model; what was fetched is kept for a resume."""
    control(
        db, Control.CANCEL, [row.id for row in transfers_of(db, model_id) if row.state in ACTIVE]
    )


def resume_refused(db: Connection) -> None:
    """Queue the files again that failed because no session was valid; call it after a sign-in."""
    failed = queue.select(db, "WHERE state = ?", [TransferState.FAILED.value])
    refused = [
        row.id
        for row in failed
        if isinstance(error_of_kind(row.error_kind, row.error or ""), AuthenticationError)
    ]
    if refused:
        control(db, Control.RESUME, refused)


def control(db: Connection, what: Control, ids: Collection[int]) -> None:
    """Apply it to these files. Raises DiskError if a partial file can't be removed."""
    gone = []
    with transaction(db, Topic.TRANSFERS):
        match what:
            case Control.PAUSE:
                queue.pause(db, ids)
            case Control.RESUME:
                queue.requeue(db, ids)
            case Control.CANCEL:
                queue.cancel(db, ids)
            case Control.UP | Control.DOWN:
                for number in ids:
                    queue.move(db, number, -1 if what is Control.UP else 1)
            case Control.FORGET:
                gone = queue.remove(db, ids)
    for row in gone:
        if row.state is not TransferState.DONE:
            discard_part(row.target)
            release_directory(row.target.parent, row.model_id)
