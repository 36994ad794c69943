"""Watches the queue and the running jobs during a cycle, which may take hours.

Jobs that complete meanwhile join it, results that will soon be gone are warned of, and a job that
moves too slowly gives way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from lora_tui import clock
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.events import Event, ResultExpiring
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job_pool import JobPool
from lora_tui.harvest.schedule import EXPIRING_SECONDS, seconds_left

_LOOK: Final = 2.0
_WARN: Final = 15.0
_READ_QUEUE: Final = 60.0
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
        while not self._over.wait(_LOOK):
            now = time.monotonic()
            try:
                if now - read >= _READ_QUEUE:
                    read = now
                    self._pool.add_jobs(newcomers(self._harvester))
                if now - warned >= _WARN:
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
