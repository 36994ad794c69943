"""Harvests one job, from the worker's answer to the announced model. Every step can be repeated.

The order makes a crash harmless: objects, artifact, notification, link. Until the link is written
the job stays in the queue, so the next run completes it; ids and paths are derived from the job's
id, so existing objects and rows are found and not made twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lora_tui import clock
from lora_tui.adapters.config import CONFIG
from lora_tui.clock import parse_timestamp
from lora_tui.domain import Quality
from lora_tui.errors import LoraTuiError, MissingReferenceError
from lora_tui.gateway.gpu import ResultGoneError
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.artifact_rows import Identity, StoredFile, artifact_row
from lora_tui.harvest.events import Event, FileStored, JobHarvested, JobStarted, UploadVerified
from lora_tui.harvest.failures import JobDeletedError, ResultMissingError, is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.in_bucket import Upload, find_upload, has_manifest
from lora_tui.harvest.lease import Lease, LeaseLostError
from lora_tui.harvest.passing_weights import PassingWeights
from lora_tui.harvest.publish import (
    check_stored,
    discard_failed,
    discard_if_deleted,
    publish,
    write_artifact,
)
from lora_tui.harvest.receipts import Owner, Receipt, Receipts
from lora_tui.harvest.schedule import is_retention_over
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.store import HeldElsewhereError, store_file
from lora_tui.harvest.structure import DamagedFileError
from lora_tui.json_values import Row, mapping

PROGRESS_SECONDS: Final = 0.5

Emit = Callable[[Event], None]
Progress = Callable[[str, int, int | None], None]
"""Gets the name of a file, the bytes received so far, and its size."""


class StoppedError(Exception):
    """The harvest was asked to stop; the next run continues the job."""


def harvest_job(
    harvester: Harvester,
    job: Row,
    emit: Emit,
    stopping: Callable[[], bool],
    *,
    yielding: bool = False,
    on_progress: Progress = lambda _name, _done, _total: None,
    check_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Make the job's model. False where another harvester makes it, or has made it meanwhile.

    With `yielding`, and where the project has no leases, it raises HeldElsewhereError if the bucket
    has files of the job that another machine stored. `check_stop` is called every second, and may
    raise StoppedError to end within a file. Raises StoppedError, and the errors of failures.py.
    """
    identity = Identity.of(job)
    attempt = _Attempt(harvester, job, identity, emit, stopping, on_progress, check_stop)
    try:
        return _harvest_under_lease(attempt, yielding=yielding)
    except MissingReferenceError as error:
        receipts = _receipts(harvester, identity)
        if not discard_if_deleted(harvester.rest, harvester.storage, receipts, identity):
            raise
        raise JobDeletedError(
            "The job, its dataset or its owner was deleted while it was harvested",
            details=error.details,
        ) from None


@dataclass(frozen=True)
class _Attempt:
    """The parameters of `harvest_job`, for its steps."""

    harvester: Harvester
    job: Row
    identity: Identity
    emit: Emit
    stopping: Callable[[], bool]
    on_progress: Progress
    check_stop: Callable[[], None]


def _harvest_under_lease(attempt: _Attempt, *, yielding: bool) -> bool:
    """Make the job's model under a lease, where the project has leases."""
    harvester, identity = attempt.harvester, attempt.identity
    lease = harvester.queue.begin(identity.job_id)
    if lease is None:
        return False
    with lease.kept():
        try:
            yielding = yielding and not lease.exclusive
            if yielding:
                _require_own_files(harvester, identity)
            with _translate_missing_result(harvester, identity):
                return _make_model(attempt, lease, yielding=yielding)
        except LeaseLostError:
            return False
        except LoraTuiError as error:
            # without a lease another harvester may be about to publish these objects
            if lease.exclusive and is_permanent(error):
                if not lease.is_still_ours():
                    return False
                discard_failed(harvester.storage, _receipts(harvester, identity), identity)
            raise


def plan_job(harvester: Harvester, job: Row, emit: Emit) -> None:
    """Check the first steps of `harvest_job` without writing. Raises what it would raise."""
    identity = Identity.of(job)
    emit(_start_event(identity, dry_run=True))
    if harvester.rest.artifact_by_job(identity.job_id) is None:
        with _translate_missing_result(harvester, identity):
            upload = find_upload(harvester.storage, identity)
            if upload.is_whole:
                emit(_upload_event(identity, upload))
            else:
                _open_source(harvester, identity, upload)


@contextmanager
def _translate_missing_result(harvester: Harvester, identity: Identity) -> Iterator[None]:
    """Raise ResultMissingError, not ResultGoneError, while the worker should have the result."""
    try:
        yield
    except ResultGoneError as error:
        first_seen = harvester.queue.first_seen(identity.job_id)
        if is_retention_over(parse_timestamp(identity.completed_at), first_seen, clock.now()):
            raise
        raise ResultMissingError(
            "The GPU worker does not have this result, or not yet", details=error.details
        ) from None


def _make_model(attempt: _Attempt, lease: Lease, *, yielding: bool) -> bool:
    harvester, identity, emit = attempt.harvester, attempt.identity, attempt.emit
    emit(_start_event(identity, dry_run=False))
    artifact: Row | None = harvester.rest.artifact_by_job(identity.job_id)
    adopted = artifact is not None
    if artifact is None:
        files, weights = _store_files(attempt, lease, yielding=yielding)
        pages = harvester.rest.metric_points(identity.job_id)
        points = (point for page in pages for point in page)
        row = artifact_row(attempt.job, points, files, weights)
        check_stored(harvester.storage, identity, files)
        lease.check()
        artifact, adopted = write_artifact(harvester.rest, row)
    receipts = _receipts(harvester, identity)
    if not publish(harvester.rest, harvester.storage, receipts, identity, artifact):
        return False
    quality = Quality.from_json(artifact.get("quality_metrics"))
    emit(
        JobHarvested(
            job_id=identity.job_id,
            artifact_id=str(artifact["id"]),
            name=str(artifact.get("name") or ""),
            stars=quality.stars,
            convergence=quality.convergence,
            files=len(mapping(artifact.get("artifacts"))),
            adopted=adopted,
        )
    )
    return True


def _require_own_files(harvester: Harvester, identity: Identity) -> None:
    found = list(harvester.storage.list(identity.folder))
    names = [entry.path.rpartition("/")[2] for entry in found]
    if has_manifest(found):
        return  # the worker's files, not those of another harvester
    if not _receipts(harvester, identity).all_ours(names):
        raise HeldElsewhereError


def _store_files(
    attempt: _Attempt, lease: Lease, *, yielding: bool
) -> tuple[list[StoredFile], dict[str, Any] | None]:
    """Store all files; returns them and the summary of the weights.

    Small ones come first: they show other harvesters that the job is in work, and the
    configuration is known when the weights pass. What the worker has put into the bucket itself
    stays there as it is.
    """
    harvester, identity = attempt.harvester, attempt.identity
    receipts = _receipts(harvester, identity)
    upload = find_upload(harvester.storage, identity)
    files = _accept_upload(attempt, upload, receipts)
    if upload.is_whole:
        return files, None
    source = _open_source(harvester, identity, upload)
    names = [name for name in source.names if name not in upload.files]
    passing = PassingWeights([*upload.files, *names], attempt.check_stop)
    passing.take(CONFIG, None, upload.configuration)
    for name in sorted(names, key=lambda name: not name.endswith(".json")):
        if attempt.stopping():
            raise StoppedError
        lease.check()
        store = partial(
            store_file,
            harvester.sender,
            name,
            identity.path(name),
            partial(source.download, name),
            spool_dir=harvester.spool_dir,
            receipts=receipts,
            on_growth=_progress_reporter(harvester, identity.job_id, name, attempt.on_progress),
            check_stop=attempt.check_stop,
            yielding=yielding,
            measure=partial(passing.take, name),
        )
        try:
            file = store()
        except DamagedFileError as error:  # perhaps an error page of an overloaded host: once more
            RETRY.wait(error)
            file = store()
        files.append(file)
        attempt.emit(
            FileStored(
                job_id=identity.job_id,
                artifact_id=identity.artifact_id,
                file=name,
                size=file.size,
                sha256=file.sha256,
                sent=file.sent,
            )
        )
    return files, passing.summary


def _accept_upload(attempt: _Attempt, upload: Upload, receipts: Receipts) -> list[StoredFile]:
    """Take the files of an upload as stored; with receipts, so that a crash leaves no manifest."""
    identity = attempt.identity
    if upload.files:
        attempt.emit(_upload_event(identity, upload))
    for file in upload.files.values():
        receipts.add(file.name, Receipt(file.size, file.sha256, file.etag))
        attempt.emit(
            FileStored(
                job_id=identity.job_id,
                artifact_id=identity.artifact_id,
                file=file.name,
                size=file.size,
                sha256=file.sha256,
                sent=False,
            )
        )
    return list(upload.files.values())


def _progress_reporter(
    harvester: Harvester, job_id: str, name: str, on_progress: Progress
) -> Callable[[int, int | None], None]:
    """Records the progress of a file, at most every PROGRESS_SECONDS."""
    last = 0.0

    def note(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            harvester.ledger.progress(job_id, name, done, total)
            harvester.beat()
            on_progress(name, done, total)

    return note


def _receipts(harvester: Harvester, identity: Identity) -> Receipts:
    return Receipts(harvester.spool_dir, identity.artifact_id, harvester.holder, Owner.of(identity))


def _open_source(harvester: Harvester, identity: Identity, upload: Upload) -> SourceFiles:
    """The worker's files, checked to complete the upload."""
    with upload.explained():
        source = SourceFiles(
            harvester.worker,
            identity.external_job_id,
            allow_private_urls=harvester.allow_private_urls,
        )
    upload.require(source.names)
    source.check()
    return source


def _upload_event(identity: Identity, upload: Upload) -> UploadVerified:
    return UploadVerified(
        job_id=identity.job_id,
        artifact_id=identity.artifact_id,
        files=len(upload.files),
        bytes=upload.size,
        bytes_read=upload.bytes_read,
        whole=upload.is_whole,
    )


def _start_event(identity: Identity, *, dry_run: bool) -> JobStarted:
    return JobStarted(
        job_id=identity.job_id,
        external_job_id=identity.external_job_id,
        artifact_id=identity.artifact_id,
        name=identity.name,
        completed_at=identity.completed_at,
        dry_run=dry_run,
    )
