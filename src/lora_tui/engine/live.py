"""Follows running jobs between two syncs: when points, jobs and notifications are read.

One thread of the engine that leads the cache. It begins after the first sync. While no job runs it
sleeps and makes no request: the cache says whether one runs, and each sync wakes the thread. How
points are read is in fetching/live.py, how jobs and notifications are in running_jobs.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final, NamedTuple

from lora_tui.cache import metrics
from lora_tui.cache.jobs import running_jobs
from lora_tui.clock import Backoff
from lora_tui.engine.server import log_unexpected
from lora_tui.errors import CancelledError, LoraTuiError

if TYPE_CHECKING:
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.fetching.live import LivePoints

POINT_SECONDS: Final = 5.0
"""Between two reads of points, while some come."""
JOB_SECONDS: Final = 10.0
"""Between two reads of jobs and notifications."""
REQUEST_SECONDS: Final = 0.5
"""Between two requests of one read of points."""
SUSPENDED_SECONDS: Final = 90.0
"""An application that has asked for nothing for so long is suspended: one that is not asks every
twenty seconds for a check of its downloads."""
_GROWTH: Final = 1.5
"""The factor by which each wait grows while no points come."""
_MOST_GROWTH: Final = 3.0
"""The factor that waits reach at most; after a new point they are short again."""
_AFTER_ERRORS: Final = Backoff(POINT_SECONDS, 300.0, least=0.8, most=1.2)
_log: Final = logging.getLogger("lora_tui.engine")


class Needs(NamedTuple):
    """What the live sync works with."""

    cache: Callable[[], AbstractContextManager[Connection]]
    online: Callable[[], OnlineWriters]
    leads: Callable[[], bool]
    """Whether this engine is the one that syncs the cache by itself."""
    changed: Callable[[], None] = lambda: None
    """Called after new points were read, and after a job has ended."""


class LiveSync:
    """The thread, and when it does what."""

    def __init__(
        self,
        needs: Needs,
        *,
        seconds: float = POINT_SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds`: between two reads of points."""
        self._needs, self._seconds, self._timer = needs, seconds, timer
        self._stop = threading.Event()
        self._changed = threading.Condition()
        """Guards the fields below that other threads change."""
        self.thread: threading.Thread | None = None
        self._woken = False
        self._asked_at = timer()
        self.points: LivePoints | None = None
        """What reads the points; made when it is first needed."""
        self._jobs_at = self._points_due = 0.0
        """By the timer: when jobs were last read, and when points are read next."""
        self._empty = self._failures = 0
        """Reads without new points, and failed ones, one after the other until now."""
        self._ordinary_syncs = 0
        """How many run, or are about to."""
        self._reads_jobs = False
        """Whether this thread reads jobs, for which it has the lock of the cache's syncs."""
        self._sync_is_due = False
        """Whether an ordinary sync is due, because a job ended or a notification came."""

    def wake(self) -> None:
        """Look at once whether a job runs, because a sync has ended; starts the thread."""
        with self._changed:
            self._woken = True
            self._jobs_at = self._timer()
            self._changed.notify_all()
            if self.thread is None and not self._stop.is_set():
                self.thread = threading.Thread(target=self._run, name="live", daemon=True)
                self.thread.start()

    def use_interval(self, seconds: float) -> None:
        """Take a changed setting, at once."""
        with self._changed:
            if seconds != self._seconds:
                self._seconds, self._woken = seconds, True
                self._points_due = 0.0
                self._changed.notify_all()

    def note_request(self) -> None:
        """Note that the application has asked for something, so it is not suspended."""
        with self._changed:
            was_suspended = self.is_suspended
            self._asked_at = self._timer()
            if was_suspended:
                self._changed.notify_all()

    def read_at(self, moment: float) -> None:
        """Note when jobs and notifications were last read, by the timer."""
        self._jobs_at = moment

    @contextmanager
    def without_job_reads(self) -> Iterator[None]:
        """Read no jobs within the block: an ordinary sync would find the cache locked, and skip."""
        with self._changed:
            self._ordinary_syncs += 1
            self._changed.wait_for(lambda: not self._reads_jobs, REQUEST_SECONDS * 20)
        try:
            yield
        finally:
            with self._changed:
                self._ordinary_syncs -= 1

    def stop(self) -> None:
        """End the thread after the request that it waits for."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                seconds = self.read_due()
                self.note_success()
            except CancelledError:
                return
            except LoraTuiError as error:
                if self._stop.is_set():  # the engine ends: its connections are closed under us
                    return
                _log.warning("live points: %s", error)
                seconds = self.note_failure()
            except Exception as error:
                if self._stop.is_set():
                    return
                self._failures += 1
                seconds = _AFTER_ERRORS.longest
                log_unexpected("live points", error)
            self._sleep(seconds)

    def note_failure(self) -> float:
        """Let the user know that nothing can be read; the seconds until the next try.

        The first failure is followed by an ordinary sync, which notes in the cache why it fails.
        """
        self._failures += 1
        if self._failures == 1:
            with suppress(LoraTuiError):
                self._needs.online().sync()
        return max(self._seconds, _AFTER_ERRORS.wait(self._failures))

    def note_success(self) -> None:
        """After failures, let an ordinary sync note that all is well again."""
        self._sync_is_due |= self._failures > 0
        self._failures = 0

    def read_due(self) -> float | None:
        """Read what is due; the seconds until the next call, None to wait for the next sync.

        Raises LoraTuiError, CancelledError once it is stopped.
        """
        with self._needs.cache() as db:
            running, ended = running_jobs(db), metrics.unfinished_jobs(db)
            if not (running or ended or self._sync_is_due) or not self._needs.leads():
                return None
            online = self._needs.online()
            points = self.points
            if points is None:
                from lora_tui.fetching.live import LivePoints

                points = self.points = LivePoints(online.rest, pause=self._pause)
            if running and self._timer() - self._jobs_at >= JOB_SECONDS:
                self._read_jobs(online)
                running, ended = running_jobs(db), metrics.unfinished_jobs(db)
            tally = points.read(db, running) if self._reads_points() else None
            for job_id in ended:
                self._sync_is_due = True
                points.finish(db, job_id)
        if self._sync_is_due:
            self._sync_is_due = online.sync().skipped
        if ended or (tally is not None and tally.points):
            self._needs.changed()
        if tally is None:
            return JOB_SECONDS
        if tally.more:
            return REQUEST_SECONDS
        self._points_due = self._timer() + self._seconds
        self._empty = 0 if tally.points else self._empty + 1
        growth = min(_MOST_GROWTH, _GROWTH ** max(0, self._empty - 1))
        return min(JOB_SECONDS, self._seconds * growth) if running else self._seconds

    def _reads_points(self) -> bool:
        """Whether points are due: jobs are read more often where the setting is a long time."""
        return self._seconds <= JOB_SECONDS or self._timer() >= self._points_due

    def _read_jobs(self, online: OnlineWriters) -> None:
        with self._changed:
            if self._ordinary_syncs:
                return
            self._reads_jobs = True
        try:
            self._sync_is_due |= online.sync_running()
        finally:
            with self._changed:
                self._jobs_at = self._timer()
                self._reads_jobs = False
                self._changed.notify_all()

    def _pause(self) -> None:
        if self._stop.wait(REQUEST_SECONDS):
            raise CancelledError("The application is ending")

    def _sleep(self, seconds: float | None) -> None:
        """Wait for the time, or until a sync has ended; then while the application is suspended."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken or self._stop.is_set(), seconds)
            self._changed.wait_for(lambda: not self.is_suspended or self._stop.is_set())
            self._woken = False

    @property
    def is_suspended(self) -> bool:
        """Whether the application is suspended."""
        return self._timer() - self._asked_at > SUSPENDED_SECONDS
