"""The threads of a cycle: each takes the most urgent job; and the counts of the cycle."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.errors import AuthenticationError, LoraTuiError, UnreachableError
from lora_tui.files import disk_error
from lora_tui.gateway.gpu import (
    MalformedResultError,
    ResultGoneError,
    WorkerKeyRefusedError,
    WorkerUnreachableError,
)
from lora_tui.harvest.events import (
    CycleFinished,
    Event,
    FileStored,
    JobFailed,
    JobHarvested,
    JobStarted,
    ResultLost,
    TransferSlow,
)
from lora_tui.harvest.failures import (
    ANSWERED,
    ResultNotThereError,
    SourceUnreachableError,
    is_permanent,
)
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job import StoppedError, harvest_job, plan_job
from lora_tui.harvest.schedule import SOON, Pace, by_urgency, seconds_left, should_yield
from lora_tui.harvest.store import TakenError
from lora_tui.json_values import Row
from lora_tui.text import terminal_safe

Emit = Callable[[Event], None]

_UNREACHABLE_IN_A_ROW: Final = 3
_REFUSED_IN_A_ROW: Final = 3
_SAMPLES: Final = 2
"""Jobs from the end of the queue that are tried before a worker that answers counts as down."""
_WORKER_WORKS: Final = (
    *ANSWERED,
    MalformedResultError,
    ResultNotThereError,
    WorkerKeyRefusedError,
)
_MOST_SLOW: Final = 8
"""The most slow jobs that go on beside the others."""
_STOP_SECONDS: Final = 60.0
"""Seconds; when a stop is asked for, a file that takes longer is not finished."""


@dataclass(frozen=True)
class CycleResult:
    """What became of the jobs that were due, or came meanwhile."""

    harvested: int = 0
    failed: int = 0
    elsewhere: int = 0
    """Left to another harvester, or finished by one meanwhile."""
    left: int = 0
    """Not looked at."""


class JobPool:
    """The jobs of a running cycle, its counts, and the state that its threads share."""

    def __init__(
        self,
        harvester: Harvester,
        *,
        limit: int | None,
        dry_run: bool,
        emit: Emit,
        stop: threading.Event,
        concurrency: int = 1,
    ) -> None:
        self._harvester = harvester
        self._limit = limit
        self._dry_run = dry_run
        self._emit = emit
        self._stop = stop
        self._concurrency = concurrency
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._fatal: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._workers = 0
        self._closed = False
        """No thread is left for new jobs."""
        self._queue: list[Row] = []
        self._running: dict[str, Row] = {}
        self._completed: set[str] = set()
        """Jobs that became a model, here or elsewhere: they don't come back in this cycle."""
        self._pace = Pace()
        self._slow: set[str] = set()
        """Running jobs that have given way: they go on, and others beside them."""
        self._reported_slow: set[str] = set()
        self._unreachable = 0
        self._worker_failed = self._worker_silent = 0
        """Jobs that the worker failed at, and those of them for which it gave no answer at all."""
        self._worker_works = False
        """Whether it did not fail at every job so far."""
        self._planned = 0
        self._held_elsewhere: set[str] = set()
        """Jobs that another harvester seems to work on: they come last."""
        self._refused: list[tuple[Row, WorkerKeyRefusedError]] = []
        """Jobs for which the worker did not accept the key, before it accepted it for any."""
        self._accepted = False
        """Whether the worker has answered a question, so that the key can't be wrong."""
        self._retried: set[str] = set()
        """Jobs for which it did not accept the key once: they come last, for a second try."""
        self._failed: set[str] = set()
        """Jobs whose newest try in this cycle failed."""
        self._harvested = self._elsewhere = self._left = 0

    def emit(self, event: Event) -> None:
        """Note what happened, and pass it on."""
        with self._lock:
            self._note(event)
            try:
                self._emit(event)
            except OSError as error:  # the output is closed: not a failure of the job
                self._fatal = self._fatal or error

    def run(self, jobs: Sequence[Row]) -> None:
        """Work on the jobs until none is left. Raises what concerns them all."""
        with self._lock:
            self._queue = list(jobs)
            self._left = len(jobs)
            self._workers = 1
            self._start_threads()
        self._work()
        while True:
            with self._lock:
                busy = [thread for thread in self._threads if thread.is_alive()]
                self._closed = not busy
            if not busy:
                break
            busy[0].join()
        self._settle_refusals()
        if self._fatal is not None and not isinstance(self._fatal, StoppedError):
            raise self._fatal

    def finish(self, error: str | None = None) -> CycleResult:
        """Report the counts of the cycle, as an event too."""
        if error is None and self._left:
            if self._backend_is_down:
                error = "the backend can't be reached"
            elif self._worker_is_down:
                error = "the GPU worker fails, or can't be reached: check GPU_CLUSTER_API_URL"
        self.emit(
            CycleFinished(
                harvested=self._harvested,
                failed=len(self._failed),
                elsewhere=self._elsewhere,
                left=self._left,
                dry_run=self._dry_run,
                error=error,
            )
        )
        return CycleResult(self._harvested, len(self._failed), self._elsewhere, self._left)

    def add_jobs(self, jobs: Iterable[Row]) -> None:
        """Take in the jobs of these that this cycle does not know yet, or may try again."""
        with self._lock:
            if self._closed:
                return
            known = self._completed | self._running.keys() | {str(job["id"]) for job in self._queue}
            new = [job for job in jobs if str(job["id"]) not in known]
            # a job that is tried again is counted once
            self._left += len(new)
            self._queue += new
            self._sort()
            self._start_threads()
            self._changed.notify_all()

    def yield_to_urgent(self) -> None:
        """Let jobs go first that would be lost behind one that is too slow."""
        with self._lock:
            if self._closed:
                return
            now = clock.now()
            waiting = [_window(job, now) for job in self._queue]
            for job_id in self._running:
                speed = self._pace.speed(job_id)
                if job_id in self._slow:
                    if speed.seconds_left <= SOON:
                        self._slow.discard(job_id)
                elif len(self._slow) < _MOST_SLOW and should_yield(speed.seconds_left, waiting):
                    self._slow.add(job_id)
                    if job_id not in self._reported_slow:
                        self._reported_slow.add(job_id)
                        self.emit(TransferSlow.of(job_id, speed, waiting=len(waiting)))
            self._start_threads()

    @property
    def _backend_is_down(self) -> bool:
        """Whether so many jobs in a row could not reach the backend that the rest is not tried."""
        return self._unreachable >= _UNREACHABLE_IN_A_ROW

    @property
    def _worker_is_down(self) -> bool:
        """Whether the worker failed at every job so far, and at so many that it isn't the jobs."""
        if self._worker_works or self._accepted:
            return False
        return (
            self._worker_silent >= _UNREACHABLE_IN_A_ROW
            or self._worker_failed >= _UNREACHABLE_IN_A_ROW + _SAMPLES
        )

    def _pop(self) -> Row:
        """The most urgent job; but a sample of the others where the worker fails at the first."""
        doubtful = self._worker_failed >= _UNREACHABLE_IN_A_ROW
        sample = doubtful and not self._worker_works and not self._accepted
        return self._queue.pop(-1 if sample else 0)

    @property
    def _allowed(self) -> int:
        return self._concurrency + len(self._slow)

    def _stopping(self) -> bool:
        return self._stop.is_set() or self._fatal is not None

    def _start_threads(self) -> None:
        """Start as many threads as are allowed and have a job to do."""
        made = self._harvested + self._planned
        idle = self._workers - len(self._running)
        while (
            self._workers < self._allowed
            and idle < len(self._queue)
            and (self._limit is None or made + self._workers < self._limit)
            and not self._stopping()
        ):
            self._workers += 1
            idle += 1
            number = len(self._threads) + 2
            thread = threading.Thread(target=self._work, name=f"harvest {number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _sort(self) -> None:
        jobs = by_urgency(self._queue, clock.now())
        last = self._held_elsewhere | self._retried
        self._queue = sorted(jobs, key=lambda job: str(job["id"]) in last)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job_id = str(job["id"])
            try:
                self._try_job(job)
            except TakenError:
                with self._lock:
                    self._held_elsewhere.add(job_id)
                    self._queue.append(job)
                self._harvester.ledger.released(job_id)
            except BaseException as error:
                with self._lock:
                    self._fatal = self._fatal or error
                self._harvester.ledger.released(job_id)
            finally:
                self._pace.ended(job_id)
                with self._lock:
                    del self._running[job_id]
                    self._slow.discard(job_id)
                    self._changed.notify_all()

    def _next(self) -> Row | None:
        """The job whose turn it is; None where this thread is needed no longer."""
        with self._lock:
            while (
                not self._stopping()
                and not self._backend_is_down
                and not self._worker_is_down
                and self._workers <= self._allowed
            ):
                made = self._harvested + self._planned
                if made == self._limit or not self._queue:
                    break
                if self._limit is None or made + len(self._running) < self._limit:
                    job = self._pop()
                    self._running[str(job["id"])] = job
                    self._pace.begun(str(job["id"]))
                    return job
                self._changed.wait()  # one of those under way may fail, and then it is our turn
            self._workers -= 1
            return None

    def _try_job(self, job: Row) -> None:
        """Try one job. Raises StoppedError, TakenError, AuthenticationError."""
        job_id = str(job["id"])
        failure: JobFailed | None = None
        down = made = False
        try:
            if self._dry_run:
                plan_job(self._harvester, job, self.emit)
            else:
                made = self._harvest(job)
        except WorkerKeyRefusedError as error:
            self._worker_works = True
            self._note_refusal(job, error)
            return
        except (StoppedError, TakenError, AuthenticationError):
            raise
        except Exception as error:
            down = isinstance(error, UnreachableError) and not isinstance(
                error, SourceUnreachableError | WorkerUnreachableError
            )
            if isinstance(error, WorkerUnreachableError):
                with self._lock:
                    self._worker_failed += 1
                    self._worker_silent += not error.answered
            elif isinstance(error, _WORKER_WORKS):
                self._worker_works = True
            failure = self._tell_failure(job, error)
            self._accepted = self._accepted or isinstance(error, ANSWERED)
        if failure is None and not made and not self._dry_run:
            self._harvester.ledger.released(job_id)
        with self._lock:
            self._left -= 1
            self._unreachable = self._unreachable + 1 if down else 0
            self._failed.discard(job_id)
            if failure is not None:
                self._failed.add(job_id)
            elif self._dry_run:
                self._accepted = True
                self._planned += 1
            else:
                self._completed.add(job_id)
                self._harvested += made
                self._elsewhere += not made

    def _harvest(self, job: Row) -> bool:
        job_id = str(job["id"])
        if "status" not in job:  # it came during the cycle
            rows = self._harvester.rest.jobs_in_full([job_id])
            if not rows:
                return False
            job = rows[0]
        return harvest_job(
            self._harvester,
            job,
            self.emit,
            self._stopping,
            yielding=job_id not in self._held_elsewhere,
            on_progress=lambda name, done, total: self._pace.moved(job_id, name, done, total),
            check_stop=lambda: self._check_stop(job_id),
        )

    def _check_stop(self, job_id: str) -> None:
        """Raise StoppedError where a stop is asked for, and the end of the job's file is far."""
        if self._stop.is_set() and self._pace.speed(job_id).seconds_left > _STOP_SECONDS:
            raise StoppedError

    def _note_refusal(self, job: Row, error: WorkerKeyRefusedError) -> None:
        """One refusal among other answers is about one job; several in a row are about all.

        Raises WorkerKeyRefusedError.
        """
        job_id = str(job["id"])
        self._harvester.ledger.released(job_id)
        with self._lock:
            if job_id not in self._retried:
                self._retried.add(job_id)
                self._queue.append(job)
                return
            if self._accepted:
                self._tell_failure(job, error)
                self._left -= 1
                self._failed.add(job_id)
                return
            self._refused.append((job, error))
            if len(self._refused) >= _REFUSED_IN_A_ROW:
                raise error

    def _settle_refusals(self) -> None:
        """Where the worker has accepted the key for others, those it refused are tried again."""
        if not self._refused or self._fatal is not None:
            return
        if not self._accepted:
            self._fatal = self._refused[0][1]
            return
        for job, error in self._refused:
            self._tell_failure(job, error)
            self._left -= 1
            self._failed.add(str(job["id"]))

    def _note(self, event: Event) -> None:
        ledger = self._harvester.ledger
        match event:
            case JobStarted(dry_run=False):
                ledger.started(event.job_id, event.name, self._harvester.holder)
            case FileStored():
                self._accepted = True
                ledger.stored(event.job_id, event.file, event.size)
                self._harvester.beat()
            case JobHarvested():
                ledger.done(event.job_id, event.name, event.artifact_id, event.stars)

    def _tell_failure(self, job: Row, error: Exception) -> JobFailed:
        if isinstance(error, OSError):  # what a network refuses has errors of its own
            error = disk_error(error, "A file can't be written on this machine")
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
        failure = JobFailed(
            job_id=str(job["id"]),
            external_job_id=terminal_safe(job.get("external_job_id"), limit=120),
            reason=reason,
            details=details,
            remedy=remedy,
            permanent=permanent,
            next_try=clock.timestamp_text(next_try) if next_try else None,
        )
        self.emit(failure)
        if isinstance(error, ResultGoneError) and not self._dry_run:
            self.emit(
                ResultLost(
                    job_id=failure.job_id,
                    external_job_id=failure.external_job_id,
                    completed_at=job.get("completed_at"),
                    reason=failure.details,
                )
            )
        return failure


def _window(job: Row, now: datetime) -> float | None:
    """Seconds for which the worker still keeps the result of a job."""
    return seconds_left(clock.parse_timestamp(job.get("completed_at")), now)
