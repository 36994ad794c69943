"""Runs one pass over the queue of jobs, or passes until a stop.

In a pass each due job is tried once, and new jobs join while it runs. A service ends after repeated
refusals of a key. A single refusal does not end it: clocks of a platform differ, or a gateway
restarts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Final

from lora_tui import formats
from lora_tui.errors import AuthenticationError, LoraTuiError, UsageError
from lora_tui.gateway.gpu import MalformedJobError
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.artifact_rows import Identity
from lora_tui.harvest.events import CycleFinished, CycleStarted, Event, ResultExpiring
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.in_bucket import find_upload
from lora_tui.harvest.job_pool import Emit, JobPool
from lora_tui.harvest.outcome import CycleResult
from lora_tui.harvest.publish import remove_orphans
from lora_tui.harvest.queue import Start
from lora_tui.harvest.removal import remove_deleted
from lora_tui.harvest.schedule import repeating, wait_between_cycles

_ATTEMPTS: Final = 3
"""Attempts of a single cycle, or of the first cycle of a service, while the key is refused."""
_REFUSED_CYCLES: Final = 5
_REFUSED_SECONDS: Final = 600.0
"""The service ends after so many refused cycles in a row that took at least so many seconds."""


def run_once(
    harvester: Harvester,
    *,
    limit: int | None,
    emit: Callable[[Event], None],
    stop: threading.Event,
    dry_run: bool = False,
    concurrency: int = 1,
    tries: int = _ATTEMPTS,
) -> CycleResult:
    """Run one cycle, up to `tries` times while a key is refused. Raises what the last one raises.

    The result counts all of them.
    """
    harvested = failed = elsewhere = 0

    def count(event: Event) -> None:
        nonlocal harvested, failed, elsewhere
        if isinstance(event, CycleFinished):
            harvested += event.harvested
            failed += event.failed
            elsewhere += event.elsewhere
        emit(event)

    attempts = RETRY
    for number in range(1, tries + 1):
        left = None if limit is None else max(0, limit - harvested)
        try:
            result = run_cycle(
                harvester,
                limit=left,
                dry_run=dry_run,
                emit=count,
                stop=stop,
                concurrency=concurrency,
            )
        except AuthenticationError as error:
            if number == tries or stop.is_set():
                raise
            attempts = attempts.wait(error)
        else:
            return CycleResult(harvested, failed, elsewhere, result.left, result.removals_failed)
    raise AssertionError("the last try returns or raises")


def run_forever(
    harvester: Harvester,
    *,
    interval: float,
    limit: int | None,
    emit: Callable[[Event], None],
    stop: threading.Event,
    concurrency: int = 1,
    wait: Callable[[float], bool] | None = None,
) -> None:
    """Run a cycle every `interval` seconds until `stop` is set; then end after the current file.

    While whole cycles fail, the waits between them double, up to a quarter of an hour. `wait` waits
    for a number of seconds and returns whether to stop. Raises UsageError, and AuthenticationError
    where a key is refused in the first cycle, or in several cycles in a row over minutes.
    """
    wait = wait or stop.wait
    failures = refused = 0
    refused_for = 0.0
    first = True
    while not stop.is_set():
        try:
            run_once(
                harvester,
                limit=limit,
                emit=emit,
                stop=stop,
                concurrency=concurrency,
                tries=_ATTEMPTS if first else 1,
            )
        except UsageError:
            raise
        except AuthenticationError as error:
            failures += 1
            refused += 1
            if first or (refused >= _REFUSED_CYCLES and refused_for >= _REFUSED_SECONDS):
                raise _final_refusal(error, refused, refused_for) from error
        except LoraTuiError:
            failures += 1  # the last event of the cycle has reported it
            refused, refused_for = 0, 0.0
        else:
            failures = refused = 0
            refused_for = 0.0
        first = False
        pause = wait_between_cycles(interval, failures)
        if refused:
            refused_for += pause
        if wait(pause):
            return


def run_cycle(
    harvester: Harvester,
    *,
    limit: int | None,
    dry_run: bool,
    emit: Emit,
    stop: threading.Event,
    concurrency: int = 1,
) -> CycleResult:
    """Harvest the due jobs: first those whose results expire next, then the longest waiting.

    `limit` is the most jobs to harvest. Failed ones do not count: lost jobs stay at the head of the
    queue and must not block the others.
    `concurrency` is how many jobs are worked on at once, each in a thread, as far as the byte
    budget has room for its files. A job so slow that others would be lost behind it does not count:
    it continues beside them. `emit` is called by one thread at a time. Raises errors that concern
    all jobs: the queue can't be read, a key is refused.
    """
    pool = JobPool(
        harvester, limit=limit, dry_run=dry_run, emit=emit, stop=stop, concurrency=concurrency
    )
    try:
        start = _start_cycle(harvester, dry_run=dry_run, emit=pool.emit)
        if dry_run:
            pool.run(start.jobs)
        else:
            more = harvester.queue.take if harvester.queue.shared else None
            with harvester.queue.working(), watching_queue(harvester, pool):
                pool.run(start.jobs, waiting=start.waiting, elsewhere=start.elsewhere, more=more)
        failed = remove_if_due(harvester, dry_run=dry_run, emit=pool.emit, stop=stop)
    except LoraTuiError as error:
        pool.finish(str(error))
        raise
    return replace(pool.finish(), removals_failed=failed)


def remove_if_due(harvester: Harvester, *, dry_run: bool, emit: Emit, stop: threading.Event) -> int:
    """Remove the files of deleted models where that is wanted, once an hour at most.

    Returns of how many models the files could not be removed.
    """
    days = harvester.remove_deleted_after
    if days is None or stop.is_set() or not harvester.removals.due():
        return 0
    return remove_deleted(
        harvester.rest,
        harvester.storage,
        days=days,
        dry_run=dry_run,
        emit=emit,
        stop=stop,
        beat=harvester.beat,
    )


def _final_refusal(error: AuthenticationError, cycles: int, seconds: float) -> AuthenticationError:
    """The same error, with the reason why it ends the service."""
    when = (
        f"by {cycles} cycles in a row, over {formats.duration(seconds)}"
        if seconds
        else f"by the first cycle, {_ATTEMPTS} times"
    )
    details = f"refused {when}; {error.details}" if error.details else f"refused {when}"
    return AuthenticationError(str(error), details=details, remedy=error.remedy)


def _start_cycle(harvester: Harvester, *, dry_run: bool, emit: Emit) -> Start:
    start = harvester.queue.start(dry_run=dry_run)
    if not dry_run:
        remove_orphans(harvester)
    emit(CycleStarted(waiting=start.waiting, dry_run=dry_run, later=start.later, dead=start.dead))
    if not dry_run:
        warn_of_expiring(harvester, emit)
    return start


LOOK_SECONDS: Final = 2.0
WARN_SECONDS: Final = 15.0
READ_QUEUE_SECONDS: Final = 60.0
"""Seconds between two checks of each kind."""
_log: Final = logging.getLogger("lora_tui.harvest")


def watching_queue(harvester: Harvester, pool: JobPool) -> AbstractContextManager[None]:
    """While the block runs, add new jobs to the cycle, and warn of results that expire soon."""
    warned = read = time.monotonic()

    def check() -> bool:
        nonlocal warned, read
        now = time.monotonic()
        try:
            if now - read >= READ_QUEUE_SECONDS:
                read = now
                if harvester.queue.shared:
                    pool.take_more()
                    harvester.queue.refresh()
                else:
                    pool.add_jobs(harvester.queue.new_jobs())
            if now - warned >= WARN_SECONDS:
                warned = now
                warn_of_expiring(harvester, pool.emit)
            pool.yield_to_urgent()
        except LoraTuiError as error:  # the workers meet the same error and report it
            _log.debug("the queue could not be read: %s", error)
        return True

    return repeating(check, LOOK_SECONDS, name="harvest watch")


def warn_of_expiring(harvester: Harvester, emit: Callable[[Event], None]) -> None:
    """Warn, once for each job, that the worker will soon drop a result."""
    expiring = harvester.queue.expiring()
    uploaded = _uploaded(harvester, [job.job_id for job in expiring])
    for job in expiring:
        if job.job_id in uploaded:
            continue
        emit(
            ResultExpiring(
                job_id=job.job_id,
                external_job_id=job.external_job_id,
                seconds_left=job.seconds_left,
                reason=job.reason,
            )
        )


def _uploaded(harvester: Harvester, job_ids: Sequence[str]) -> set[str]:
    """Those of these jobs whose files are in the bucket: nothing is lost if the worker drops them.

    A job that can't be looked up is not among them: a warning too many is better than none.
    """
    found = set()
    try:
        for job in harvester.rest.jobs_in_full(job_ids):
            with suppress(MalformedJobError):
                identity = Identity.of(job)
                objects = list(harvester.storage.list(identity.folder))
                if find_upload(harvester.storage, identity, objects).is_whole:
                    found.add(identity.job_id)
    except LoraTuiError as error:
        _log.debug("uploads could not be looked up: %s", error)
    return found
