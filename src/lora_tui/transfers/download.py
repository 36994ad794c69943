"""One download from beginning to end: planned, queued, waited for, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.transfers import Transfer, TransferState
from lora_tui.domain import Model
from lora_tui.errors import LoraTuiError, NotFoundError, PartlyFailedError
from lora_tui.transfers.fetch import CancelledError
from lora_tui.transfers.plan import plan
from lora_tui.transfers.run import Runner
from lora_tui.transfers.space import check_space_for_all


@dataclass(frozen=True)
class Outcome:
    """What became of the files of one model."""

    directory: Path
    done: tuple[str, ...]
    failed: tuple[tuple[str, LoraTuiError], ...]


def download(
    runner: Runner,
    db: Connection,
    model: Model,
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    force: bool = False,
    on_change: Callable[[Transfer], None] | None = None,
) -> Outcome:
    """Bring files of `model` into `directory`; a file that fails does not stop the others.

    Raises NotFoundError where no file could be had because none is there, PartlyFailedError where
    some failed, the file's own error where all failed, DiskError where there is no room for all of
    them, CancelledError where the user stopped or paused it.
    """
    runner.recover()
    wanted = plan(model, directory, names)
    check_space_for_all(wanted, directory)
    with transaction(db, Topic.TRANSFERS):
        ids = queue.enqueue(db, model.id, wanted, force=force)
    runner.start(ids)
    rows = runner.wait_for(db, ids, on_change)
    stopped = [r for r in rows if r.state in (TransferState.CANCELLED, TransferState.PAUSED)]
    if stopped or len(rows) < len(ids):
        paused = any(row.state is TransferState.PAUSED for row in stopped)
        raise CancelledError("The download was paused" if paused else "The download was stopped")
    failed = tuple(
        (row.file, runner.error_of(row)) for row in rows if row.state is TransferState.FAILED
    )
    done = tuple(row.file for row in rows if row.state is TransferState.DONE)
    if failed:
        raise _failure(done, failed)
    return Outcome(directory, done, failed)


def _failure(done: Sequence[str], failed: Sequence[tuple[str, LoraTuiError]]) -> LoraTuiError:
    first = failed[0][1]
    reasons = "; ".join(f"{name}: {error}" for name, error in failed)
    if done:
        return PartlyFailedError(
            f"{len(done)} files are here, {len(failed)} failed",
            details=reasons,
            remedy=first.remedy or "run the same command again; what is here is not fetched twice",
        )
    if all(isinstance(error, NotFoundError) for _, error in failed):
        return NotFoundError(
            "None of the files can be had",
            details=reasons,
            remedy="the artifact is incomplete in the bucket; harvest it again or ask its owner",
        )
    return first
