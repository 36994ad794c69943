"""One download from beginning to end: planned, queued, waited for, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.transfer_queue import Wanted
from lora_tui.cache.transfers import ACTIVE, Checked, Transfer, TransferState
from lora_tui.domain import Model
from lora_tui.errors import HiddenFilesError, LoraTuiError, NotFoundError, PartlyFailedError
from lora_tui.processes import LockHolder
from lora_tui.transfers.fetch import CancelledError
from lora_tui.transfers.plan import plan
from lora_tui.transfers.record import check_directory
from lora_tui.transfers.run import Runner
from lora_tui.transfers.space import check_space_for_all

_ROUNDS: Final = 3


@dataclass(frozen=True)
class Outcome:
    """What became of the files of one model."""

    directory: Path
    done: tuple[str, ...]
    failed: tuple[tuple[str, LoraTuiError], ...]
    checked: Mapping[str, Checked]
    """What each file that is here was compared with."""


def download(
    runner: Runner,
    db: Connection,
    model: Model,
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    force: bool = False,
    on_change: Callable[[Transfer], None] | None = None,
    on_held: Callable[[Transfer, LockHolder], None] | None = None,
) -> Outcome:
    """Bring files of `model` into `directory`; a file that fails does not stop the others.

    `on_held` is told of files that another process has in hand already. Raises NotFoundError where
    no file could be had because none is there, PartlyFailedError where some failed, the file's own
    error where all failed, DiskError where there is no room for all of them or the directory is
    another model's, InUseError where another process does not get on with a file, CancelledError
    where the user stopped or paused it.
    """
    runner.recover()
    # a link that the user names is followed now; one that is put there later is not
    real = Path(os.path.realpath(directory))
    if not force:
        check_directory(real, model)
    wanted = plan(model, real, names)
    check_space_for_all(wanted, real)
    rows = _queue_and_wait(runner, db, model, wanted, force, on_change, on_held)
    ids = {row.id for row in rows}
    stopped = [r for r in rows if r.state in (TransferState.CANCELLED, TransferState.PAUSED)]
    if stopped or len(ids) < len(wanted):
        paused = any(row.state is TransferState.PAUSED for row in stopped)
        raise CancelledError("The download was paused" if paused else "The download was stopped")
    failed = tuple(
        (row.file, runner.error_of(row))
        for row in rows
        if row.state is TransferState.FAILED or row.state in ACTIVE
    )
    here = [row for row in rows if row.state is TransferState.DONE]
    done = tuple(row.file for row in here)
    if failed:
        raise _failure(done, failed)
    checked = {row.file: row.checked for row in here if row.checked is not None}
    return Outcome(directory, done, failed, checked)


def _queue_and_wait(
    runner: Runner,
    db: Connection,
    model: Model,
    wanted: Sequence[Wanted],
    force: bool,
    on_change: Callable[[Transfer], None] | None,
    on_held: Callable[[Transfer, LockHolder], None] | None,
) -> list[Transfer]:
    """The rows when they are no longer active, each of the version that is wanted."""
    rows: list[Transfer] = []
    left = list(wanted)
    for _ in range(_ROUNDS):
        with transaction(db, Topic.TRANSFERS):
            ids = queue.enqueue(db, model.id, left, force=force)
        runner.start(ids)
        found = runner.wait_for(db, ids, on_change, on_held)
        if len(found) < len(ids):  # somebody took one off the list
            return rows + found
        # another process may have been fetching an earlier version, or another model's file
        old = {row.target for row, file in zip(found, left, strict=True) if not _is_of(row, file)}
        rows += [row for row in found if row.target not in old]
        left = [file for file in left if file.target in old]
        if not left:
            break
    return rows


def _is_of(row: Transfer, wanted: Wanted) -> bool:
    asked = (wanted.file, wanted.object_path, wanted.sha256)
    same = (row.file, row.object_path, row.expected_sha256) == asked
    return same or row.state is not TransferState.DONE


def _failure(done: Sequence[str], failed: Sequence[tuple[str, LoraTuiError]]) -> LoraTuiError:
    first = failed[0][1]
    reasons = "; ".join(f"{name}: {error}" for name, error in failed)
    if isinstance(first, HiddenFilesError) and not done:
        return first
    if done:
        return PartlyFailedError(
            f"{len(done)} files are here, {len(failed)} failed",
            details=reasons,
            remedy=first.remedy or "run the same command again; what is here is not fetched twice",
        )
    if all(isinstance(error, NotFoundError) for _, error in failed):
        return NotFoundError(
            "None of the files is available",
            details=reasons,
            remedy="the artifact is incomplete in the bucket; harvest it again or ask its owner",
        )
    return first
