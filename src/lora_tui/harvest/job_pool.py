"""The threads of a cycle, each of which takes the most urgent job, and the counts of the cycle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from lora_tui import clock
from lora_tui.errors import (
    AuthenticationError,
    UnreachableError,
)
from lora_tui.gateway.gpu import (
    MalformedResultError,
    WorkerKeyRefusedError,
    WorkerUnreachableError,
)
from lora_tui.harvest.attempt import StoppedError
from lora_tui.harvest.events import (
    CycleFinished,
    Event,
    FileStored,
    JobFailed,
    TransferSlow,
    UploadVerified,
)
from lora_tui.harvest.failures import (
    ANSWERED,
    ResultMissingError,
    SourceUnreachableError,
)
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job import harvest_job, plan_job
from lora_tui.harvest.outcome import CycleResult, record_event, report_failure
from lora_tui.harvest.schedule import SOON, Pace, seconds_left, should_yield, sort_by_urgency
from lora_tui.harvest.store import HeldElsewhereError
from lora_tui.json_values import Row

Emit = Callable[[Event], None]

_UNREACHABLE_IN_A_ROW: Final = 3
_REFUSED_IN_A_ROW: Final = 3
_SAMPLES: Final = 2
"""Jobs from the end of the queue that are tried before a worker that responds counts as down."""
_WORKER_RESPONDED: Final = (
    *ANSWERED,
    MalformedResultError,
    ResultMissingError,
    WorkerKeyRefusedError,
)
_MOST_SLOW: Final = 8
"""The most slow jobs that run beside the others."""
_SPARE: Final = 1
"""Jobs that are claimed beyond those that can be worked on at once."""
_MOST_CLAIMED: Final = 100
"""Jobs of a claim."""
_STOP_SECONDS: Final = 60.0
"""After a stop, a file that needs more seconds is not finished."""


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
        """Whether the last thread has ended, so that no job can join."""
        self._queue: list[Row] = []
        self._more: Callable[[int], list[Row]] | None = None
        """Claims up to so many further jobs; None where all of them are in the queue."""
        self._taking = False
        """Whether a thread claims jobs now."""
        self._exhausted = True
        """Whether the last claim found no job."""
        self._running: dict[str, Row] = {}
        self._completed: set[str] = set()
        """Jobs that became a model; they can't join this cycle again."""
        self._pace = Pace()
        self._slow: set[str] = set()
        """Running jobs that don't count against the concurrency."""
        self._reported_slow: set[str] = set()
        self._unreachable = 0
        self._worker_failed = self._worker_silent = 0
        """Jobs for which the worker failed; those for which it did not respond at all."""
        self._worker_works = False
        """Whether the worker has succeeded for a job of this cycle."""
        self._planned = 0
        self._held_elsewhere: set[str] = set()
        """Jobs that another harvester seems to work on; they are tried last."""
        self._refused: list[tuple[Row, WorkerKeyRefusedError]] = []
        """Jobs for which the worker refused the key before it accepted it for any job."""
        self._accepted = False
        """Whether the worker has accepted the key."""
        self._not_asked: set[str] = set()
        """Jobs whose files are in the bucket already, so that the worker need not be asked."""
        self._retried: set[str] = set()
        """Jobs for which the worker refused the key once; they are tried again last."""
        self._failed: set[str] = set()
        """Jobs whose last attempt in this cycle failed."""
        self._harvested = self._elsewhere = self._left = 0

    def emit(self, event: Event) -> None:
        """Record an event and pass it on."""
        with self._lock:
            self._record(event)
            try:
                self._emit(event)
            except OSError as error:  # the output is closed; the job did not fail
                self._fatal = self._fatal or error

    def run(
        self,
        jobs: Sequence[Row],
        *,
        waiting: int = 0,
        elsewhere: int = 0,
        more: Callable[[int], list[Row]] | None = None,
    ) -> None:
        """Work on the jobs until none is left. Raises errors that concern all jobs.

        `more` claims up to so many further ones, of which there may be `waiting`; others work on
        `elsewhere` jobs.
        """
        with self._lock:
            self._queue = list(jobs)
            self._left = len(jobs) if more is None else waiting
            self._elsewhere = elsewhere
            self._more, self._exhausted = more, more is None
            self._workers = 1
            self._start_threads()
        self._worker_main()
        while True:
            with self._lock:
                busy = [thread for thread in self._threads if thread.is_alive()]
                self._closed = not busy
            if not busy:
                break
            busy[0].join()
        self._resolve_refusals()
        if self._fatal is not None and not isinstance(self._fatal, StoppedError):
            raise self._fatal

    def finish(self, error: str | None = None) -> CycleResult:
        """Report the counts of the cycle, as an event too."""
        if self._more is not None:  # others have taken some of those that waited
            self._left = len(self._queue) if self._exhausted else max(self._left, len(self._queue))
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
        """Add the jobs that this cycle does not know yet, or may try again."""
        with self._lock:
            if self._closed:
                return
            known = self._completed | self._running.keys() | {str(job["id"]) for job in self._queue}
            new = [job for job in jobs if str(job["id"]) not in known]
            # a retried job is counted once
            self._left += len(new)
            self._queue += new
            self._sort()
            self._start_threads()
            self._changed.notify_all()

    def take_more(self) -> None:
        """Claim jobs for the threads that are free, and one to know what waits.

        Raises the error family.
        """
        with self._lock:
            number = self._room()
            if self._more is None or self._taking or self._closed or self._stopping() or not number:
                return
            self._taking = True
        self._claim(number)

    def _room(self) -> int:
        """How many jobs to claim: for each free thread, and one that waits."""
        room = self._thread_limit + _SPARE - len(self._running) - len(self._queue)
        if self._limit is not None:
            made = self._harvested + self._planned
            room = min(room, self._limit - made - len(self._running) - len(self._queue))
        return max(0, min(room, _MOST_CLAIMED))

    def _claim(self, number: int) -> None:
        """Add up to `number` claimed jobs to the queue. Raises the error family."""
        assert self._more is not None
        jobs: list[Row] | None = None
        try:
            jobs = self._more(number)
        finally:
            with self._lock:
                self._taking = False
                if jobs is not None:  # a claim that failed does not say that the queue is empty
                    self._exhausted = not jobs
                if jobs and not self._closed:  # else they are released at once
                    self._queue += jobs
                    self._sort()
                    self._start_threads()
                self._changed.notify_all()

    def yield_to_urgent(self) -> None:
        """Start urgent jobs beside running ones that are too slow."""
        with self._lock:
            if self._closed:
                return
            now = clock.now()
            waiting = [_seconds_left(job, now) for job in self._queue]
            for job_id in self._running:
                speed = self._pace.speed(job_id)
                if job_id in self._slow:
                    if speed.seconds_left <= SOON:
                        self._slow.discard(job_id)
                        self._harvester.budget.count_again(job_id)
                elif len(self._slow) < _MOST_SLOW and should_yield(speed.seconds_left, waiting):
                    self._slow.add(job_id)
                    self._harvester.budget.stop_counting(job_id)
                    if job_id not in self._reported_slow:
                        self._reported_slow.add(job_id)
                        self.emit(TransferSlow.of(job_id, speed, waiting=len(waiting)))
            self._start_threads()

    @property
    def _backend_is_down(self) -> bool:
        """Whether several jobs in a row could not reach the backend."""
        return self._unreachable >= _UNREACHABLE_IN_A_ROW

    @property
    def _worker_is_down(self) -> bool:
        """Whether the worker failed for every job so far, and for several of them."""
        if self._worker_works or self._accepted:
            return False
        return (
            self._worker_silent >= _UNREACHABLE_IN_A_ROW
            or self._worker_failed >= _UNREACHABLE_IN_A_ROW + _SAMPLES
        )

    def _take_job(self) -> Row:
        """The most urgent job; the least urgent one where the worker failed for the first ones."""
        doubtful = self._worker_failed >= _UNREACHABLE_IN_A_ROW
        sample = doubtful and not self._worker_works and not self._accepted
        return self._queue.pop(-1 if sample else 0)

    @property
    def _thread_limit(self) -> int:
        return self._concurrency + len(self._slow)

    def _stopping(self) -> bool:
        return self._stop.is_set() or self._fatal is not None

    def _start_threads(self) -> None:
        """Start threads up to the limit, as far as there are jobs for them."""
        made = self._harvested + self._planned
        idle = self._workers - len(self._running)
        while (
            self._workers < self._thread_limit
            and idle < len(self._queue)
            and (self._limit is None or made + self._workers < self._limit)
            and not self._stopping()
        ):
            self._workers += 1
            idle += 1
            number = len(self._threads) + 2
            thread = threading.Thread(
                target=self._worker_main, name=f"harvest {number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _sort(self) -> None:
        jobs = sort_by_urgency(self._queue, clock.now())
        last = self._held_elsewhere | self._retried
        self._queue = sorted(jobs, key=lambda job: str(job["id"]) in last)

    def _worker_main(self) -> None:
        while (job := self._next_job()) is not None:
            job_id = str(job["id"])
            try:
                self._try_job(job)
            except HeldElsewhereError:
                with self._lock:
                    self._held_elsewhere.add(job_id)
                    self._queue.append(job)
                self._harvester.ledger.released(job_id)
            except BaseException as error:
                with self._lock:
                    self._fatal = self._fatal or error
                self._harvester.queue.released(job_id)
            finally:
                self._pace.ended(job_id)
                with self._lock:
                    del self._running[job_id]
                    self._slow.discard(job_id)
                    self._harvester.budget.count_again(job_id)
                    self._changed.notify_all()

    def _next_job(self) -> Row | None:
        """The next job; None where this thread is no longer needed."""
        while True:
            with self._lock:
                number = self._wait_for_queue()
                if not number:
                    return self._pop_job()
                self._taking = True
            try:
                self._claim(number)
            except BaseException as error:
                with self._lock:
                    self._fatal = self._fatal or error

    def _wait_for_queue(self) -> int:
        """How many jobs to claim; 0 where the queue has one, or none is needed."""
        while self._more is not None and not self._queue and not self._exhausted:
            if not self._goes_on or self._harvested + self._planned == self._limit:
                return 0
            room = self._room()
            if room and not self._taking:
                return room
            self._changed.wait()
        return 0

    @property
    def _goes_on(self) -> bool:
        return (
            not self._stopping()
            and not self._backend_is_down
            and not self._worker_is_down
            and self._workers <= self._thread_limit
        )

    def _pop_job(self) -> Row | None:
        with self._lock:
            while self._goes_on:
                made = self._harvested + self._planned
                if made == self._limit or not self._queue:
                    break
                if self._limit is None or made + len(self._running) < self._limit:
                    job = self._take_job()
                    self._running[str(job["id"])] = job
                    self._pace.begun(str(job["id"]))
                    return job
                self._changed.wait()  # a running job may fail and free a place within the limit
            self._workers -= 1
            return None

    def _try_job(self, job: Row) -> None:
        """Process one job. Raises StoppedError, HeldElsewhereError, AuthenticationError."""
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
            self._record_refusal(job, error)
            return
        except (StoppedError, HeldElsewhereError, AuthenticationError):
            raise
        except Exception as error:
            down = isinstance(error, UnreachableError) and not isinstance(
                error, SourceUnreachableError | WorkerUnreachableError
            )
            if isinstance(error, WorkerUnreachableError):
                with self._lock:
                    self._worker_failed += 1
                    self._worker_silent += not error.answered
            elif isinstance(error, _WORKER_RESPONDED):
                self._worker_works = True
            failure = self._report_failure(job, error)
            self._accepted = self._accepted or isinstance(error, ANSWERED)
        if failure is None and not self._dry_run:
            if made:
                self._harvester.queue.done(job_id)
            else:
                self._harvester.queue.released(job_id)
        with self._lock:
            self._left -= 1
            self._unreachable = self._unreachable + 1 if down else 0
            self._failed.discard(job_id)
            if failure is not None:
                self._failed.add(job_id)
            elif self._dry_run:
                self._accepted = self._accepted or job_id not in self._not_asked
                self._planned += 1
            else:
                self._completed.add(job_id)
                self._harvested += made
                self._elsewhere += not made

    def _harvest(self, job: Row) -> bool:
        job_id = str(job["id"])
        if "status" not in job:  # it joined the cycle later
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
        """Raise StoppedError where a stop was requested and the current file needs more time."""
        if self._stop.is_set() and self._pace.speed(job_id).seconds_left > _STOP_SECONDS:
            raise StoppedError

    def _record_refusal(self, job: Row, error: WorkerKeyRefusedError) -> None:
        """Record that the worker refused the key for a job; several in a row concern all jobs.

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
                self._report_failure(job, error)
                self._left -= 1
                self._failed.add(job_id)
                return
            self._refused.append((job, error))
            if len(self._refused) >= _REFUSED_IN_A_ROW:
                raise error

    def _resolve_refusals(self) -> None:
        """Fail the refused jobs if the key was accepted for others, else the whole cycle."""
        if not self._refused or self._fatal is not None:
            return
        if not self._accepted:
            self._fatal = self._refused[0][1]
            return
        for job, error in self._refused:
            self._report_failure(job, error)
            self._left -= 1
            self._failed.add(str(job["id"]))

    def _record(self, event: Event) -> None:
        record_event(self._harvester, event)
        match event:
            case UploadVerified(whole=True):
                self._not_asked.add(event.job_id)
            case FileStored():
                self._accepted = self._accepted or event.job_id not in self._not_asked
                self._pace.stored(event.job_id, event.file)

    def _report_failure(self, job: Row, error: Exception) -> JobFailed:
        return report_failure(self._harvester, job, error, self.emit, dry_run=self._dry_run)


def _seconds_left(job: Row, now: datetime) -> float | None:
    """Seconds until the worker may drop the result of a job."""
    return seconds_left(clock.parse_timestamp(job.get("completed_at")), now)
