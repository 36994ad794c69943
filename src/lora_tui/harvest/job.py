"""One job, from the worker's answer to the announced model. Every step may be repeated.

The order is what makes a crash harmless: objects, artifact, notification, link. Until the link
is written the job stays in the queue, so whatever is missing is done by the next run; and as ids
and paths are made from the job's id, what is there already is found and not made twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from lora_tui import clock
from lora_tui.clock import parse_timestamp
from lora_tui.domain import Quality
from lora_tui.errors import LoraTuiError, MissingReferenceError
from lora_tui.gateway.gpu import ResultGoneError
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.artifact_rows import Identity, StoredFile, artifact_row
from lora_tui.harvest.events import Event, FileStored, JobHarvested, JobStarted
from lora_tui.harvest.failures import JobDeletedError, ResultNotThereError, is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.lease import Lease, LeaseLostError
from lora_tui.harvest.publish import (
    check_stored,
    give_up,
    give_up_deleted,
    publish,
    write_artifact,
)
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.schedule import is_promise_over
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.store import TakenError, store_file
from lora_tui.harvest.structure import DamagedFileError
from lora_tui.json_values import Row, mapping

PROGRESS_SECONDS: Final = 0.5

Emit = Callable[[Event], None]
Progress = Callable[[str, int, int | None], None]
"""Told the file, the bytes of it that have arrived, and all of them."""


class StoppedError(Exception):
    """A stop was asked for between two files; the next run goes on there."""


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
    """Make the job's model. False where another harvester does, or did so meanwhile.

    With `yielding` it raises TakenError where no lease tells who is at the job, and there are files
    of it that this machine did not store. `check_stop` is called every second, and may
    raise StoppedError to end within a file. Raises StoppedError, and of the error family the
    failures of failures.py.
    """
    identity = Identity.of(job)
    try:
        return _claimed(harvester, job, identity, emit, stopping, yielding, on_progress, check_stop)
    except MissingReferenceError as error:
        receipts = _receipts(harvester, identity)
        if not give_up_deleted(harvester.rest, harvester.storage, receipts, identity):
            raise
        raise JobDeletedError(
            "The job, its dataset or its owner was deleted while it was harvested",
            details=error.details,
        ) from None


def _claimed(
    harvester: Harvester,
    job: Row,
    identity: Identity,
    emit: Emit,
    stopping: Callable[[], bool],
    yielding: bool,
    on_progress: Progress,
    check_stop: Callable[[], None],
) -> bool:
    """Make the job's model under a lease, where there is one to be had."""
    lease = Lease.claim(harvester.rest, identity.job_id, harvester.holder, harvester.lease_seconds)
    if lease is None:
        return False
    with lease:
        try:
            yielding = yielding and not lease.exclusive
            if yielding:
                _yield_to_another(harvester, identity)
            with _absence_judged(harvester, identity):
                return _harvest(
                    harvester,
                    job,
                    identity,
                    lease,
                    emit,
                    stopping,
                    yielding=yielding,
                    on_progress=on_progress,
                    check_stop=check_stop,
                )
        except LeaseLostError:
            return False
        except LoraTuiError as error:
            # only a holder of the lease knows that nobody is about to publish these objects
            if lease.exclusive and is_permanent(error):
                if not lease.is_still_ours():
                    return False
                give_up(harvester.storage, _receipts(harvester, identity), identity)
            raise


def plan_job(harvester: Harvester, job: Row, emit: Emit) -> None:
    """What `harvest_job` would begin with, without a single write. Raises what it would raise."""
    identity = Identity.of(job)
    emit(_started(identity, dry_run=True))
    if harvester.rest.artifact_by_job(identity.job_id) is None:
        with _absence_judged(harvester, identity):
            _source(harvester, identity).check()


@contextmanager
def _absence_judged(harvester: Harvester, identity: Identity) -> Iterator[None]:
    """Take the worker's word that a result is gone only when its promise to keep it is over."""
    try:
        yield
    except ResultGoneError as error:
        first_seen = harvester.ledger.first_seen(identity.job_id)
        if is_promise_over(parse_timestamp(identity.completed_at), first_seen, clock.now()):
            raise
        raise ResultNotThereError(
            "The GPU worker does not have this result, or not yet", details=error.details
        ) from None


def _harvest(
    harvester: Harvester,
    job: Row,
    identity: Identity,
    lease: Lease,
    emit: Emit,
    stopping: Callable[[], bool],
    *,
    yielding: bool,
    on_progress: Progress,
    check_stop: Callable[[], None],
) -> bool:
    emit(_started(identity, dry_run=False))
    artifact: Row | None = harvester.rest.artifact_by_job(identity.job_id)
    adopted = artifact is not None
    if artifact is None:
        files = _store_files(
            harvester,
            identity,
            lease,
            emit,
            stopping,
            yielding=yielding,
            on_progress=on_progress,
            check_stop=check_stop,
        )
        pages = harvester.rest.metric_points(identity.job_id)
        row = artifact_row(job, (point for page in pages for point in page), files)
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


def _yield_to_another(harvester: Harvester, identity: Identity) -> None:
    names = [found.path.rpartition("/")[2] for found in harvester.storage.list(identity.folder)]
    if not _receipts(harvester, identity).all_ours(names):
        raise TakenError


def _store_files(
    harvester: Harvester,
    identity: Identity,
    lease: Lease,
    emit: Emit,
    stopping: Callable[[], bool],
    *,
    yielding: bool,
    on_progress: Progress,
    check_stop: Callable[[], None],
) -> list[StoredFile]:
    """All of them or an error. The small ones first: they show others that somebody is at it."""
    source = _source(harvester, identity)
    source.check()
    receipts = _receipts(harvester, identity)
    files = []
    for name in sorted(source.names, key=lambda name: not name.endswith(".json")):
        if stopping():
            raise StoppedError
        lease.check()
        store = partial(
            store_file,
            harvester.storage,
            name,
            identity.path(name),
            partial(source.download, name),
            spool_dir=harvester.spool_dir,
            receipts=receipts,
            on_growth=_progress(harvester, identity.job_id, name, on_progress),
            check_stop=check_stop,
            yielding=yielding,
        )
        try:
            file = store()
        except DamagedFileError as error:  # a page of an overloaded host, say: once more at once
            RETRY.wait(error)
            file = store()
        files.append(file)
        emit(
            FileStored(
                job_id=identity.job_id,
                artifact_id=identity.artifact_id,
                file=name,
                size=file.size,
                sha256=file.sha256,
                sent=file.sent,
            )
        )
    return files


def _progress(
    harvester: Harvester, job_id: str, name: str, on_progress: Progress
) -> Callable[[int, int | None], None]:
    """Notes how far a file is, but not more often than somebody could look."""
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


def _source(harvester: Harvester, identity: Identity) -> SourceFiles:
    return SourceFiles(
        harvester.worker,
        identity.external_job_id,
        allow_private_urls=harvester.allow_private_urls,
    )


def _started(identity: Identity, *, dry_run: bool) -> JobStarted:
    return JobStarted(
        job_id=identity.job_id,
        external_job_id=identity.external_job_id,
        artifact_id=identity.artifact_id,
        name=identity.name,
        completed_at=identity.completed_at,
        dry_run=dry_run,
    )
