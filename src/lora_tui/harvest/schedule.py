"""Which job comes first, how long a failed one waits, when a slow one gives way, and timers."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from lora_tui.clock import Backoff, parse_timestamp

RESULT_SECONDS: Final = 30 * 60
"""How long the worker keeps a result after the end of the training."""
EXPIRING_SECONDS: Final = 10 * 60
"""A waiting job whose result expires within this time gets a warning."""

JOB_BACKOFF: Final = Backoff(first=30.0, longest=3_600.0, least=0.75, most=1.25)
"""Between the attempts of a failed job."""
LONGEST_WAIT: Final = JOB_BACKOFF.longest * JOB_BACKOFF.most
"""Seconds. A next attempt that is due later was noted by a clock that was wrong."""
CYCLE_BACKOFF: Final = Backoff(first=0.0, longest=900.0, least=0.9, most=1.1)
"""Between cycles that fail altogether; the first wait is twice the interval."""
_SHORTEST_WAIT: Final = 10.0

Job = TypeVar("Job", bound=Mapping[str, Any])


def seconds_left(completed_at: datetime | None, now: datetime) -> float | None:
    """Seconds until the worker may drop the result, negative afterwards; None where unknown."""
    if completed_at is None:
        return None
    return RESULT_SECONDS - (now - completed_at).total_seconds()


def is_retention_over(
    completed_at: datetime | None, first_seen: datetime | None, now: datetime
) -> bool:
    """Whether the worker may have deleted the result: it keeps results for RESULT_SECONDS.

    Where the end of the training is unknown or in the future, `first_seen` counts instead.
    """
    begin = completed_at if completed_at is not None and completed_at <= now else first_seen
    return begin is not None and abs((now - begin).total_seconds()) >= RESULT_SECONDS


def sort_by_urgency(jobs: Sequence[Job], now: datetime) -> list[Job]:
    """Jobs whose result the worker still keeps, the first to expire first; then the others."""

    def key(job: Job) -> tuple[bool, float]:
        left = seconds_left(parse_timestamp(job.get("completed_at")), now)
        return (False, left) if left is not None and left > 0 else (True, 0.0)

    return sorted(jobs, key=key)


def wait_after(attempts: int, window: float | None) -> float:
    """Seconds until the next attempt: 30, 60, 120 … up to an hour, a quarter more or less.

    `window` is how many seconds the worker still keeps the result; while it does, three more
    attempts fit into what is left, but never one before ten seconds are over.
    """
    backoff = JOB_BACKOFF
    if window is not None and window > 0:
        longest = max(_SHORTEST_WAIT, min(backoff.longest, window / 3))
        backoff = backoff._replace(longest=longest)
    return backoff.wait(attempts)


def wait_between_cycles(interval: float, failures: int) -> float:
    """Seconds until the next cycle: doubled by each failure in a row, up to 15 minutes."""
    longest = max(interval, CYCLE_BACKOFF.longest)
    return CYCLE_BACKOFF._replace(first=interval, longest=longest).wait(failures + 1)


SOON: Final = 15.0
"""Seconds; a job that ends within this time keeps its place."""
RESERVE: Final = 5 * 60.0
"""Seconds that a harvest needs: it must start so long before the result expires."""
LONGEST_QUEUEING: Final = 10 * 60.0
"""Seconds that a job may wait for another one where the expiry of its result is unknown."""

_WINDOW: Final = 15.0
STALLED_SECONDS: Final = 10.0
LEAST_SECONDS: Final = 3.0
"""Seconds; the rate of a younger transfer is not known yet."""
_UNKNOWN: Final = 60.0
"""Seconds after which a file of unknown size counts as endless."""


@dataclass
class _File:
    name: str
    begun: float
    done: int = 0
    total: int | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)


@dataclass(frozen=True)
class Speed:
    """The progress of the slowest file that a job has in hand."""

    file: str
    """Empty before the first one, and when it has arrived completely."""
    done: int
    """Bytes of it that have arrived."""
    total: int | None
    bytes_per_second: float
    seconds_left: float
    """Until the end of the file at this rate; 0 where it is not known yet."""


class Pace:
    """The transfer rates of the running jobs; safe to use from several threads."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, _File]] = {}
        self._lock = threading.Lock()

    def begun(self, job_id: str) -> None:
        """Start to measure a job."""
        self.moved(job_id, "", 0, None)

    def moved(self, job_id: str, name: str, done: int, total: int | None) -> None:
        """Record how many bytes of a file have arrived; without a name, that the job waits."""
        now = time.monotonic()
        with self._lock:
            files = self._files.setdefault(job_id, {})
            if name:
                files.pop("", None)
            file = files.get(name)
            if file is None or not name or done < file.done:
                file = files[name] = _File(name, now)
                file.samples.append((now, 0))
            file.done, file.total = done, total
            if now - file.samples[-1][0] >= 1.0:
                file.samples.append((now, done))
            while len(file.samples) > 2 and now - file.samples[1][0] > _WINDOW:
                file.samples.popleft()

    def stored(self, job_id: str, name: str) -> None:
        """Forget a file that is stored."""
        with self._lock:
            files = self._files.get(job_id)
            if files is None:
                return
            files.pop(name, None)
            if files:
                return
        self.begun(job_id)

    def ended(self, job_id: str) -> None:
        """Forget a job."""
        with self._lock:
            self._files.pop(job_id, None)

    def speed(self, job_id: str) -> Speed:
        """The progress of the slowest file of a job now."""
        now = time.monotonic()
        with self._lock:
            speeds = [_speed(file, now) for file in self._files.get(job_id, {}).values()]
        nothing = Speed("", 0, None, 0.0, 0.0)
        return max(speeds, key=lambda speed: speed.seconds_left, default=nothing)


def _speed(file: _File, now: float) -> Speed:
    since, before = file.samples[0]
    rate = max(0, file.done - before) / max(now - since, 0.001)
    arrived = file.total is not None and file.done >= file.total
    name = "" if arrived else file.name
    return Speed(name, file.done, file.total, rate, _seconds_left(file, rate, now))


def _seconds_left(file: _File, rate: float, now: float) -> float:
    if now - file.begun < LEAST_SECONDS:
        return 0.0
    still = now - file.samples[-1][0]  # a sample is added whenever bytes come
    if still >= STALLED_SECONDS and (file.total is None or file.done < file.total):
        return math.inf
    if file.total is None:
        return math.inf if now - file.begun >= _UNKNOWN else 0.0
    if file.done >= file.total:  # all bytes have arrived and are being stored
        return math.inf if still >= _UNKNOWN else 0.0
    return (file.total - file.done) / rate if rate else math.inf


def should_yield(seconds_left: float, waiting: Iterable[float | None]) -> bool:
    """Whether waiting jobs should start beside a job that needs `seconds_left`.

    `waiting` are the seconds until the result of each expires; None where unknown, negative where
    it may have expired.
    """
    if seconds_left <= SOON:
        return False
    return any(
        seconds_left > (LONGEST_QUEUEING if left is None or left <= 0 else left - RESERVE)
        for left in waiting
    )


@contextmanager
def repeating(call: Callable[[], bool], seconds: float, *, name: str) -> Iterator[None]:
    """While the block runs, call `call` every `seconds` in a thread, until it returns False."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds) and call():
            pass

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
