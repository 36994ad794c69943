"""One pass over the queue: each job that is due is tried once, and none stops the others."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from lora_tui import clock
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.events import CycleStarted
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job_pool import CycleResult, Emit, JobPool
from lora_tui.harvest.leftovers import remove_leftovers
from lora_tui.harvest.schedule import by_urgency
from lora_tui.harvest.watch import Watch, warn_of_expiring

__all__ = ["CycleResult", "run_cycle"]

Row = Mapping[str, Any]

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
