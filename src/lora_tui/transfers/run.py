"""Runs the downloads of one model: queue in the cache, fetch, verify, rename, write down."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.cache import transfers as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.transfers import Transfer, TransferState
from lora_tui.clock import timestamp_text
from lora_tui.domain import Model, mapping
from lora_tui.errors import (
    DiskError,
    IntegrityError,
    LoraTuiError,
    NotFoundError,
    PartlyFailedError,
)
from lora_tui.transfers.fetch import CancelledError, FetchOptions, fetch
from lora_tui.transfers.plan import MANIFEST, plan
from lora_tui.transfers.verify import check_structure, sha256_of

_REPORT_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of the files of one model."""

    directory: Path
    done: tuple[str, ...]
    failed: tuple[tuple[str, LoraTuiError], ...]


@dataclass(frozen=True)
class Downloader:
    """What a download needs from outside."""

    db: sqlite3.Connection
    sign: Callable[[str], str]
    """Object path → signed URL. Raises NotFoundError where the object is not there."""
    wait: Callable[[int], bool]
    """After the n-th failed attempt in a row: sleeps, and says whether to try again."""
    stop: threading.Event = field(default_factory=threading.Event)
    on_change: Callable[[Transfer], None] | None = None
    """Told of each step of each file; for the command line, which watches no feed."""


def download(
    downloader: Downloader,
    model: Model,
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    force: bool = False,
) -> Outcome:
    """Bring files of `model` into `directory`; a file that fails does not stop the others.

    Raises NotFoundError where no file could be had because none is there, PartlyFailedError where
    some failed, the file's own error where all failed, CancelledError.
    """
    wanted = plan(model, directory, names)
    with transaction(downloader.db, Topic.TRANSFERS):
        queue.enqueue(downloader.db, model.id, wanted)
    chosen = {file.file for file in wanted}
    rows = [row for row in queue.transfers_of(downloader.db, model.id) if row.file in chosen]
    manifest = _read_manifest(directory)
    hashes = {file.name: file.sha256 for file in model.files}
    done: list[str] = []
    failed: list[tuple[str, LoraTuiError]] = []
    for row in rows:
        try:
            digest, size = _one(
                downloader, row, hashes.get(row.file), manifest.get(row.target.name), force=force
            )
        except LoraTuiError as error:
            cancelled = isinstance(error, CancelledError)
            state = TransferState.CANCELLED if cancelled else TransferState.FAILED
            _report(downloader, row, state, error=str(error))
            if cancelled:
                _cancel_rest(downloader, rows)
                raise
            failed.append((row.file, error))
            continue
        done.append(row.file)
        manifest[row.target.name] = {"sha256": digest, "size": size, "object": row.file}
        _write_manifest(directory, model, manifest)
        _report(downloader, row, TransferState.DONE, done=size, total=size, sha256=digest)
    outcome = Outcome(directory, tuple(done), tuple(failed))
    _conclude(downloader, model, outcome)
    return outcome


def _conclude(downloader: Downloader, model: Model, outcome: Outcome) -> None:
    states = {row.file: row.state for row in queue.transfers_of(downloader.db, model.id)}
    if all(states.get(file.name) is TransferState.DONE for file in model.files):
        with transaction(downloader.db, Topic.TRANSFERS, Topic.MODELS):
            queue.put_downloaded(downloader.db, model.id, outcome.directory)
    if not outcome.failed:
        return
    error = outcome.failed[0][1]
    if outcome.done:
        raise PartlyFailedError(
            f"{len(outcome.done)} files are here, {len(outcome.failed)} failed",
            details="; ".join(f"{name}: {error}" for name, error in outcome.failed),
            remedy=error.remedy or "run the same command again; what is here is not fetched twice",
        )
    if all(isinstance(error, NotFoundError) for _, error in outcome.failed):
        raise NotFoundError(
            "None of the files can be had",
            details="; ".join(f"{name}: {error}" for name, error in outcome.failed),
            remedy="the artifact is incomplete in the bucket; harvest it again or ask its owner",
        ) from error
    raise error


def _one(
    downloader: Downloader,
    row: Transfer,
    expected_sha256: str | None,
    recorded: object,
    *,
    force: bool,
) -> tuple[str, int]:
    """Digest and size of one file that is now in place."""
    if row.target.is_symlink() or row.target.exists():
        here = _already_here(row, expected_sha256, recorded)
        if here is not None:
            return here
        if not force:
            raise DiskError(
                "Another file of that name is there already",
                details=str(row.target),
                remedy="move it away, choose another directory with --to, or use --force",
            )
    _report(downloader, row, TransferState.RUNNING, done=0)
    last = 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS or done == total:
            last = now
            _report(downloader, row, TransferState.RUNNING, done=done, total=total)

    fetched = fetch(
        row.target,
        FetchOptions(
            sign=lambda: downloader.sign(row.object_path),
            progress=progress,
            stop=downloader.stop,
            wait=downloader.wait,
        ),
        expected_size=row.bytes_total,
    )
    _report(downloader, row, TransferState.VERIFYING, done=fetched.size, total=fetched.size)
    try:
        if expected_sha256 is not None and fetched.sha256 != expected_sha256:
            raise IntegrityError(
                "The checksum is wrong: these are not the bytes that were stored",
                details=f"{fetched.sha256}, the manifest says {expected_sha256}",
            )
        check_structure(fetched.part, row.target.name)
    except IntegrityError:
        fetched.part.unlink(missing_ok=True)
        raise
    try:
        fetched.part.replace(row.target)
        _sync_directory(row.target.parent)
    except OSError as error:
        raise DiskError(
            f"The file can't be put in place: {error.strerror}", details=str(row.target)
        ) from error
    return fetched.sha256, fetched.size


def _already_here(
    row: Transfer, expected_sha256: str | None, recorded: object
) -> tuple[str, int] | None:
    """Digest and size, where the file at the target is the one that is wanted."""
    promised = expected_sha256 or mapping(recorded).get("sha256")
    if promised is None or not row.target.is_file() or row.target.is_symlink():
        return None
    try:
        size = row.target.stat().st_size
        if row.bytes_total is not None and size != row.bytes_total:
            return None
        digest = sha256_of(row.target)
    except OSError:
        return None
    return (digest, size) if digest == promised else None


def _report(
    downloader: Downloader,
    row: Transfer,
    state: TransferState,
    *,
    done: int | None = None,
    total: int | None = None,
    sha256: str | None = None,
    error: str | None = None,
) -> None:
    with transaction(downloader.db, Topic.TRANSFERS):
        queue.update(
            downloader.db,
            row.id,
            state,
            bytes_done=done,
            bytes_total=total,
            sha256=sha256,
            error=error,
        )
    if downloader.on_change is not None:
        downloader.on_change(queue.get_transfer(downloader.db, row.id))


def _cancel_rest(downloader: Downloader, rows: Sequence[Transfer]) -> None:
    with transaction(downloader.db, Topic.TRANSFERS):
        for row in rows:
            if queue.get_transfer(downloader.db, row.id).state in queue.ACTIVE:
                queue.update(downloader.db, row.id, TransferState.CANCELLED)


def _read_manifest(directory: Path) -> dict[str, object]:
    """The files that lora-tui put into this directory: local name → sha256, size, object."""
    try:
        return dict(mapping(mapping((directory / MANIFEST).read_text("utf-8")).get("files")))
    except (OSError, UnicodeDecodeError):
        return {}


def _write_manifest(directory: Path, model: Model, files: dict[str, object]) -> None:
    data = {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "stars": model.quality.stars,
        "convergence": model.quality.convergence,
        "dataset": model.dataset.name if model.dataset else None,
        "base_model": model.hyperparameters.base_model,
        "downloaded_at": timestamp_text(clock.now()),
        "files": files,
    }
    partial = directory / f"{MANIFEST}.part"
    try:
        partial.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        partial.replace(directory / MANIFEST)
    except OSError as error:
        raise DiskError(f"{MANIFEST} can't be written: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
