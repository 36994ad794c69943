"""One download from beginning to end: planned, checked for space, queued, and waited for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.transfer_queue import ACTIVE, Checked, FileRequest, Transfer, TransferState
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import (
    CancelledError,
    HiddenFilesError,
    LoraTuiError,
    NotFoundError,
    PartlyFailedError,
    not_enough_space,
)
from lora_tui.files import free_bytes
from lora_tui.processes import LockHolder
from lora_tui.transfers.model_directory import check_directory, local_names
from lora_tui.transfers.part import ANOTHER_DIRECTORY, part_of
from lora_tui.transfers.runner import Runner

_ROUNDS: Final = 3


def plan_files(
    model: Model, directory: Path, names: Sequence[str] | None = None
) -> list[FileRequest]:
    """The files to fetch, all or those named, each with a target inside `directory`.

    Raises what `choose_files` raises.
    """
    local = local_names(model, directory)
    return [
        FileRequest(
            file=file.name,
            object_path=file.path,
            target=directory / local[file.name],
            size=file.size,
            sha256=file.sha256,
        )
        for file in choose_files(model, names)
    ]


def choose_files(model: Model, names: Sequence[str] | None = None) -> list[ArtifactFile]:
    """The files that a user selects: all, or those named.

    A name is the artifact's name, the displayed name, or a shell pattern (`*.json`); if a file has
    exactly the name of the pattern, only that file. Raises NotFoundError if nothing matches, or the
    model has no files any more.
    """
    if not model.files:
        raise NotFoundError(
            "The model has no files",
            details=model.name,
            remedy="its training job was stored without artifacts; harvest it again",
        )
    if model.files_removed_at is not None:
        raise NotFoundError(
            model.lost_files or "",
            details=model.name,
            remedy="`lora-tui push DIRECTORY --update` stores a copy of them again",
        )
    if names is None:
        return list(model.files)
    return list(dict.fromkeys(file for name in names for file in _named(model, name)))


@dataclass(frozen=True)
class DownloadResult:
    """The result of a download of one model."""

    directory: Path
    done: tuple[str, ...]
    failed: tuple[tuple[str, LoraTuiError], ...]
    checked: Mapping[str, Checked]
    """How each downloaded file was verified."""


def download(
    runner: Runner,
    model: Model,
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    force: bool = False,
    on_change: Callable[[Transfer], None] | None = None,
    on_held: Callable[[Transfer, LockHolder], None] | None = None,
) -> DownloadResult:
    """Download files of `model` into `directory`; a file that fails does not stop the others.

    `on_held` is called for files that another process is fetching. Raises NotFoundError if none of
    the files exists, PartlyFailedError if some failed, the first file's error if all failed,
    DiskError if there is not enough space or the directory belongs to another model, InUseError if
    another process makes no progress with a file, CancelledError if the user stopped or paused it.
    """
    runner.recover()
    # a link that the user names is followed here, once; one that is made later is not
    real = Path(os.path.realpath(directory))
    if not force:
        check_directory(real, model)
    wanted = plan_files(model, real, names)
    check_space_for_all(wanted, real)
    runner.prepare([file.object_path for file in wanted if not os.path.lexists(file.target)])
    rows = _queue_and_wait(runner, model, wanted, force, on_change, on_held)
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
    return DownloadResult(directory, done, failed, checked)


def check_space_for_all(wanted: Sequence[FileRequest], directory: Path) -> None:
    """Raises DiskError if the missing bytes of all files do not fit on the disk."""
    missing = sum(max(0, (file.size or 0) - _bytes_on_disk(file.target)) for file in wanted)
    place = next(path for path in (directory, *directory.parents) if path.is_dir())
    free = free_bytes(place)
    if missing > free:
        raise not_enough_space(missing, free, place, margin=0, instead=ANOTHER_DIRECTORY)


def _named(model: Model, name: str) -> list[ArtifactFile]:
    for names in ([file.name for file in model.files], [file.label for file in model.files]):
        if name in names:
            return [model.files[names.index(name)]]
    if any(sign in name for sign in "*?["):
        found = [file for file in model.files if _fits(file, name)]
        if found:
            return found
        message = "No file of the model fits this pattern"
    else:
        message = "The model has no such file"
    raise NotFoundError(
        message,
        details=f"asked for {name!r}; it has {', '.join(file.label for file in model.files)}",
        remedy="name one of these, or a pattern in quotes such as '*.json'",
    )


def _fits(file: ArtifactFile, pattern: str) -> bool:
    return fnmatchcase(file.name, pattern) or fnmatchcase(file.label, pattern)


def _queue_and_wait(
    runner: Runner,
    model: Model,
    wanted: Sequence[FileRequest],
    force: bool,
    on_change: Callable[[Transfer], None] | None,
    on_held: Callable[[Transfer, LockHolder], None] | None,
) -> list[Transfer]:
    """The rows when none is active any more, each of the wanted version."""
    rows: list[Transfer] = []
    left = list(wanted)
    for _ in range(_ROUNDS):
        with runner.cache() as db, transaction(db, Topic.TRANSFERS):
            ids = queue.enqueue(db, model.id, left, force=force)
        runner.start(ids)
        found = runner.wait_for(ids, on_change, on_held)
        if len(found) < len(ids):  # one was removed from the list
            return rows + found
        # another process may have been fetching an earlier version, or another model's file
        old = {row.target for row, file in zip(found, left, strict=True) if not _is_of(row, file)}
        rows += [row for row in found if row.target not in old]
        left = [file for file in left if file.target in old]
        if not left:
            break
    return rows


def _is_of(row: Transfer, wanted: FileRequest) -> bool:
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


def _bytes_on_disk(target: Path) -> int:
    """Bytes that a file, finished or partial, occupies (a `.part` may have holes)."""
    for path in (target, part_of(target)):
        try:
            status = path.stat(follow_symlinks=False)
        except OSError:
            continue
        return min(status.st_size, status.st_blocks * 512)
    return 0
