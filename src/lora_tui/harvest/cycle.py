"""One pass over the queue: each job that is due is tried once, and none stops the others."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.errors import AuthenticationError, LoraTuiError, UnreachableError
from lora_tui.gateway.gpu import ResultGoneError
from lora_tui.harvest.events import (
    CycleFinished,
    CycleStarted,
    Event,
    FileStored,
    JobFailed,
    JobHarvested,
    JobStarted,
    ResultExpiring,
    ResultLost,
)
from lora_tui.harvest.failures import SourceUnreachableError, is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job import StoppedError, harvest_job, plan_job
from lora_tui.harvest.leftovers import remove_leftovers
from lora_tui.harvest.store import TakenError
from lora_tui.harvest.urgency import EXPIRING_SECONDS, by_urgency, seconds_left
from lora_tui.text import terminal_safe

Row = Mapping[str, Any]
Emit = Callable[[Event], None]

_MOST_JOBS: Final = 10_000
_UNREACHABLE_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class CycleResult:
    """What became of the jobs that were due."""

    harvested: int = 0
    failed: int = 0
    elsewhere: int = 0
    """Left to another harvester, or finished by one meanwhile."""
    left: int = 0
    """Not looked at."""


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
    file in hand; `emit` is called by one thread at a time. Raises what concerns all jobs alike:
    the queue can't be read, a key is refused.
    """
    cycle = _Cycle(harvester, limit=limit, dry_run=dry_run, emit=emit, stop=stop)
    try:
        cycle.run(_due(harvester, dry_run=dry_run, emit=cycle.emit), concurrency)
    except LoraTuiError as error:
        cycle.finish(str(error))
        raise
    return cycle.finish()


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
        _warn_of_expiring(harvester, emit)
    return by_urgency(jobs, clock.now())


def _warn_of_expiring(harvester: Harvester, emit: Emit) -> None:
    now = clock.now()
    _, dead = harvester.ledger.not_due()
    for job in harvester.ledger.jobs():
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


class _Cycle:
    """A cycle under way: its figures, and what its threads share."""

    def __init__(
        self,
        harvester: Harvester,
        *,
        limit: int | None,
        dry_run: bool,
        emit: Emit,
        stop: threading.Event,
    ) -> None:
        self._harvester = harvester
        self._limit = limit
        self._dry_run = dry_run
        self._emit = emit
        self._stop = stop
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._fatal: BaseException | None = None
        self._running = 0
        self._unreachable = 0
        self._planned = 0
        self._taken: set[str] = set()
        """Jobs that another harvester seems to be at: they come last, and then all the same."""
        self._harvested = self._failed = self._elsewhere = self._left = 0

    def emit(self, event: Event) -> None:
        """Note what happened, and pass it on."""
        with self._lock:
            self._note(event)
            try:
                self._emit(event)
            except OSError as error:  # nobody listens any more: that is not the job's fault
                self._fatal = self._fatal or error

    def run(self, jobs: Sequence[Row], concurrency: int) -> None:
        """Work on the jobs until none is left. Raises what concerns them all."""
        self._left = len(jobs)
        queue = deque(jobs)
        others = [
            threading.Thread(target=self._work, args=(queue,), name=f"harvest {number}")
            for number in range(2, min(concurrency, len(jobs)) + 1)
        ]
        for thread in others:
            thread.start()
        self._work(queue)
        for thread in others:
            thread.join()
        if self._fatal is not None and not isinstance(self._fatal, StoppedError):
            raise self._fatal

    def finish(self, error: str | None = None) -> CycleResult:
        """Tell the figures."""
        if error is None and self._backend_is_down and self._left:
            error = "the backend can't be reached"
        self.emit(
            CycleFinished(
                harvested=self._harvested,
                failed=self._failed,
                elsewhere=self._elsewhere,
                left=self._left,
                dry_run=self._dry_run,
                error=error,
            )
        )
        return CycleResult(self._harvested, self._failed, self._elsewhere, self._left)

    @property
    def _backend_is_down(self) -> bool:
        """So many jobs in a row found nobody at home that the rest would as well."""
        return self._unreachable >= _UNREACHABLE_IN_A_ROW

    def _stopping(self) -> bool:
        return self._stop.is_set() or self._fatal is not None

    def _work(self, queue: deque[Row]) -> None:
        while (job := self._next(queue)) is not None:
            try:
                self._take(job)
            except TakenError:
                with self._lock:
                    self._taken.add(str(job["id"]))
                    queue.append(job)
                self._harvester.ledger.released(str(job["id"]))
            except BaseException as error:
                with self._lock:
                    self._fatal = self._fatal or error
                self._harvester.ledger.released(str(job["id"]))
            finally:
                with self._lock:
                    self._running -= 1
                    self._changed.notify_all()

    def _next(self, queue: deque[Row]) -> Row | None:
        with self._lock:
            while not self._stopping() and not self._backend_is_down:
                made = self._harvested + self._planned
                if made == self._limit:
                    return None
                if self._limit is None or made + self._running < self._limit:
                    job = queue.popleft() if queue else None
                    self._running += job is not None
                    return job
                self._changed.wait()  # one of those under way may fail, and then it is our turn
            return None

    def _take(self, job: Row) -> None:
        """Try one job. Raises StoppedError, TakenError, AuthenticationError."""
        job_id = str(job["id"])
        failure: JobFailed | None = None
        down = made = False
        try:
            if self._dry_run:
                plan_job(self._harvester, job, self.emit)
            else:
                made = harvest_job(
                    self._harvester,
                    job,
                    self.emit,
                    self._stopping,
                    yielding=job_id not in self._taken,
                )
        except (StoppedError, TakenError, AuthenticationError):
            raise
        except Exception as error:
            down = isinstance(error, UnreachableError) and not isinstance(
                error, SourceUnreachableError
            )
            failure = self._failure(job, error)
            self.emit(failure)
            if isinstance(error, ResultGoneError) and not self._dry_run:
                self.emit(
                    ResultLost(
                        job_id=job_id,
                        external_job_id=failure.external_job_id,
                        completed_at=job.get("completed_at"),
                        reason=failure.details,
                    )
                )
        if failure is None and not made and not self._dry_run:
            self._harvester.ledger.released(job_id)
        with self._lock:
            self._left -= 1
            self._unreachable = self._unreachable + 1 if down else 0
            if failure is not None:
                self._failed += 1
            elif self._dry_run:
                self._planned += 1
            elif made:
                self._harvested += 1
            else:
                self._elsewhere += 1

    def _note(self, event: Event) -> None:
        ledger = self._harvester.ledger
        match event:
            case JobStarted(dry_run=False):
                ledger.started(event.job_id, event.name, self._harvester.holder)
            case FileStored():
                ledger.stored(event.job_id, event.file, event.size)
                self._harvester.beat()
            case JobHarvested():
                ledger.done(event.job_id, event.name, event.artifact_id, event.stars)

    def _failure(self, job: Row, error: Exception) -> JobFailed:
        if isinstance(error, LoraTuiError):
            reason, details, remedy = str(error), error.details, error.remedy
        else:
            # its text may hold anything, a URL with its key among it; the place is what helps
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"Something unexpected happened: {type(error).__name__}"
            details, remedy = f"{Path(place.filename).name}:{place.lineno}", "please report this"
        if isinstance(error, ResultGoneError) and not self._dry_run:
            before = self._harvester.ledger.reason(str(job["id"]))
            details = f"the last try before: {before}" if before else details
        permanent = is_permanent(error)
        next_try = None
        if not self._dry_run:
            next_try = self._harvester.ledger.failed(
                str(job["id"]),
                reason=reason,
                details=details,
                remedy=remedy,
                permanent=permanent,
            )
        return JobFailed(
            job_id=str(job["id"]),
            external_job_id=terminal_safe(job.get("external_job_id"), limit=120),
            reason=reason,
            details=details,
            remedy=remedy,
            permanent=permanent,
            next_try=clock.timestamp_text(next_try) if next_try else None,
        )
