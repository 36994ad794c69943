"""One pass over the queue: each due job is tried once, and new jobs join while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from lora_tui import clock
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.events import CycleStarted, Event, ResultExpiring
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job_pool import CycleResult, Emit, JobPool
from lora_tui.harvest.orphan_cleanup import remove_leftovers
from lora_tui.harvest.schedule import EXPIRING_SECONDS, by_urgency, seconds_left
from lora_tui.json_values import Row

__all__ = ["CycleResult", "run_cycle"]


_MOST_JOBS: Final = 10_000


def run_cycle(
    harvester: Harvester,
    *,
    limit: int | None,
    dry_run: bool,
    emit: Emit,
    stop: threading.Event,
    concurrency: int = 1,
) -> CycleResult:
    """Harvest what is due: what the worker will drop next comes first, then the longest waiting.

    `limit` is how many jobs are harvested at most. Failed ones do not count: jobs that are lost
    stay at the head of the queue, and must not keep those behind them from their turn.
    `concurrency` is how many jobs are worked on at once, each in a thread and with at most one
    file in hand. A job that is so slow that others would be lost behind it does not count: it goes
    on beside them. `emit` is called by one thread at a time. Raises what concerns all jobs alike:
    the queue can't be read, a key is refused.
    """
    pool = JobPool(
        harvester, limit=limit, dry_run=dry_run, emit=emit, stop=stop, concurrency=concurrency
    )
    try:
        jobs = _due(harvester, dry_run=dry_run, emit=pool.emit)
        if dry_run:
            pool.run(jobs)
        else:
            with Watch(harvester, pool):
                pool.run(jobs)
    except LoraTuiError as error:
        pool.finish(str(error))
        raise
    return pool.finish()


def _due(harvester: Harvester, *, dry_run: bool, emit: Emit) -> list[Row]:
    queue = harvester.rest.jobs_to_harvest(limit=_MOST_JOBS)
    if not dry_run:
        harvester.ledger.queue(queue, harvester.holder)
        remove_leftovers(harvester, queue)
    later, dead = harvester.ledger.not_due()
    ids = {str(job["id"]) for job in queue}
    jobs = [job for job in queue if str(job["id"]) not in later | dead]
    emit(
        CycleStarted(
            waiting=len(jobs), dry_run=dry_run, later=len(later & ids), dead=len(dead & ids)
        )
    )
    if not dry_run:
        warn_of_expiring(harvester, emit)
    return by_urgency(jobs, clock.now())


LOOK_SECONDS: Final = 2.0
WARN_SECONDS: Final = 15.0
READ_QUEUE_SECONDS: Final = 60.0
"""Seconds between two of each."""
_log: Final = logging.getLogger("lora_tui.harvest")


class Watch:
    """A background thread of a cycle, as a context manager."""

    def __init__(self, harvester: Harvester, pool: JobPool) -> None:
        self._harvester = harvester
        self._pool = pool
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="harvest watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        warned = read = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            now = time.monotonic()
            try:
                if now - read >= READ_QUEUE_SECONDS:
                    read = now
                    self._pool.add_jobs(newcomers(self._harvester))
                if now - warned >= WARN_SECONDS:
                    warned = now
                    warn_of_expiring(self._harvester, self._pool.emit)
                self._pool.yield_to_urgent()
            except LoraTuiError as error:  # the work itself meets the same, and tells it
                _log.debug("the queue could not be looked at: %s", error)


def newcomers(harvester: Harvester) -> list[dict[str, object]]:
    """The jobs that are due by now, in full; those that are known already as well.

    Raises the error family.
    """
    waiting = harvester.rest.waiting_jobs()
    harvester.ledger.joined(waiting)
    later, dead = harvester.ledger.not_due()
    return [dict(job) for job in waiting if str(job["id"]) not in later | dead]


def warn_of_expiring(harvester: Harvester, emit: Callable[[Event], None]) -> None:
    """Tell, once a job, that the worker will soon drop a result that nobody has harvested yet."""
    now = clock.now()
    _, dead = harvester.ledger.not_due()
    for job in harvester.ledger.jobs(most_done=0):
        left = seconds_left(job.completed_at, now)
        if left is None or not 0 < left <= EXPIRING_SECONDS:
            continue
        if job.job_id in dead or job.artifact_id or not harvester.ledger.warn_once(job.job_id):
            continue
        emit(
            ResultExpiring(
                job_id=job.job_id,
                external_job_id=job.external_job_id,
                seconds_left=int(left),
                reason=job.reason,
            )
        )
