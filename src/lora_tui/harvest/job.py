"""Harvests one job, from the worker's answer to the announced model. Every step can be repeated.

The order makes a crash harmless: objects, artifact, notification, link. Until the link is written
the job stays in the queue, so the next run completes it; ids and paths are derived from the job's
id, so existing objects and rows are found and not made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final

from lora_tui import clock
from lora_tui.clock import parse_timestamp
from lora_tui.domain import Quality
from lora_tui.errors import LoraTuiError, MissingReferenceError
from lora_tui.fetching.read_ahead import ReadAhead
from lora_tui.gateway.gpu import ResultGoneError
from lora_tui.gateway.storage import ObjectInfo
from lora_tui.harvest.artifact_rows import Identity, artifact_row
from lora_tui.harvest.attempt import Attempt, Emit, Progress
from lora_tui.harvest.events import JobHarvested, JobStarted
from lora_tui.harvest.failures import JobDeletedError, ResultMissingError, is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.in_bucket import find_upload, has_manifest
from lora_tui.harvest.job_files import open_source, store_files, upload_event
from lora_tui.harvest.lease import Lease, LeaseLostError
from lora_tui.harvest.publish import (
    check_stored,
    discard_failed,
    discard_if_deleted,
    publish,
    write_artifact,
)
from lora_tui.harvest.schedule import is_retention_over
from lora_tui.harvest.store import HeldElsewhereError
from lora_tui.json_values import Row, mapping

_PAGES_AHEAD: Final = 3
"""Pages of metric points that are read while the files are on their way; they stay in memory."""


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
    turn = harvester.budget.next_turn()
    attempt = Attempt(harvester, job, identity, emit, stopping, on_progress, check_stop, turn)
    try:
        return _harvest_under_lease(attempt, yielding=yielding)
    except MissingReferenceError as error:
        receipts = attempt.receipts()
        if not discard_if_deleted(harvester.rest, harvester.storage, receipts, identity):
            raise
        raise JobDeletedError(
            "The job, its dataset or its owner was deleted while it was harvested",
            details=error.details,
        ) from None


def _harvest_under_lease(attempt: Attempt, *, yielding: bool) -> bool:
    """Make the job's model under a lease, where the project has leases."""
    harvester, identity = attempt.harvester, attempt.identity
    lease = harvester.queue.begin(identity.job_id)
    if lease is None:
        return False
    with lease.kept():
        try:
            yielding = yielding and not lease.exclusive
            if yielding:
                _require_own_files(attempt)
            with _translate_missing_result(harvester, identity):
                return _make_model(attempt, lease, yielding=yielding)
        except LeaseLostError:
            return False
        except LoraTuiError as error:
            # without a lease another harvester may be about to publish these objects
            if lease.exclusive and is_permanent(error):
                if not lease.is_still_ours():
                    return False
                discard_failed(harvester.storage, attempt.receipts(), identity)
            raise


def plan_job(harvester: Harvester, job: Row, emit: Emit) -> None:
    """Check the first steps of `harvest_job` without writing. Raises what it would raise."""
    identity = Identity.of(job)
    emit(_start_event(identity, dry_run=True))
    if harvester.rest.artifact_by_job(identity.job_id) is None:
        with _translate_missing_result(harvester, identity):
            found = list(harvester.storage.list(identity.folder))
            upload = find_upload(harvester.storage, identity, found)
            if upload.is_whole:
                emit(upload_event(identity, upload))
            else:
                open_source(harvester, identity, upload)


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


def _make_model(attempt: Attempt, lease: Lease, *, yielding: bool) -> bool:
    harvester, identity, emit = attempt.harvester, attempt.identity, attempt.emit
    emit(_start_event(identity, dry_run=False))
    there: Sequence[ObjectInfo] | None = None
    with ReadAhead() as ahead:  # each costs round trips, and none needs the answer of another
        listed = ahead.call(lambda: list(harvester.storage.list(identity.folder)))
        points = ahead.call(lambda: _metric_points(harvester, identity))
        artifact: Row | None = harvester.rest.artifact_by_job(identity.job_id)
        adopted = artifact is not None
        if artifact is None:
            stored = store_files(attempt, lease, listed(), yielding=yielding)
            row = artifact_row(attempt.job, points(), stored.files, stored.weights)
            there = check_stored(harvester.storage, identity, stored.files, stored.listed)
            lease.check()
            artifact, adopted = write_artifact(harvester.rest, row)
    receipts = attempt.receipts()
    if not publish(
        harvester.rest,
        harvester.storage,
        receipts,
        identity,
        artifact,
        there=None if adopted else there,
    ):
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


def _metric_points(harvester: Harvester, identity: Identity) -> Iterator[Row]:
    """The points of the job; the first pages of them are requested now."""
    pages = harvester.rest.metric_points(identity.job_id)
    first = list(islice(pages, _PAGES_AHEAD))
    return (point for page in chain(first, pages) for point in page)


def _require_own_files(attempt: Attempt) -> None:
    found = list(attempt.harvester.storage.list(attempt.identity.folder))
    names = [entry.path.rpartition("/")[2] for entry in found]
    if has_manifest(found):
        return  # the worker's files, not those of another harvester
    if not attempt.receipts().all_ours(names):
        raise HeldElsewhereError


def _start_event(identity: Identity, *, dry_run: bool) -> JobStarted:
    return JobStarted(
        job_id=identity.job_id,
        external_job_id=identity.external_job_id,
        artifact_id=identity.artifact_id,
        name=identity.name,
        completed_at=identity.completed_at,
        dry_run=dry_run,
    )
