"""Measures how fast each running job transfers, and tells when urgent jobs must not wait for it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

SOON: Final = 15.0
"""Seconds; a job that ends within them keeps its thread."""
RESERVE: Final = 5 * 60.0
"""Seconds that a job itself needs: it has to start so long before its result expires."""
LONGEST_WAIT: Final = 10 * 60.0
"""Seconds that a job may wait for another one where the expiry of its result is unknown."""

_WINDOW: Final = 15.0
STALLED_SECONDS: Final = 10.0
_LEAST: Final = 3.0
"""Seconds; what has moved for less time than this is not judged."""
_UNKNOWN: Final = 60.0
"""Seconds after which a file of unknown length counts as one without an end."""


@dataclass
class _File:
    name: str
    begun: float
    done: int = 0
    total: int | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)


@dataclass(frozen=True)
class Speed:
    """The progress of a job's current file."""

    file: str
    """The file that is coming; empty before the first one, and once all of it has arrived."""
    done: int
    """Bytes of it that have arrived."""
    total: int | None
    bytes_per_second: float
    seconds_left: float
    """Until the end of the file at this rate; 0 where that can't be told yet."""


class Pace:
    """The transfer rates of the running jobs; safe to use from several threads."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()

    def begun(self, job_id: str) -> None:
        """Work on a job begins."""
        self.moved(job_id, "", 0, None)

    def moved(self, job_id: str, name: str, done: int, total: int | None) -> None:
        """So many bytes of a file have arrived."""
        now = time.monotonic()
        with self._lock:
            file = self._files.get(job_id)
            if file is None or file.name != name or done < file.done:
                file = self._files[job_id] = _File(name, now)
                file.samples.append((now, 0))
            file.done, file.total = done, total
            if now - file.samples[-1][0] >= 1.0:
                file.samples.append((now, done))
            while len(file.samples) > 2 and now - file.samples[1][0] > _WINDOW:
                file.samples.popleft()

    def ended(self, job_id: str) -> None:
        """Nobody works on it any more."""
        with self._lock:
            self._files.pop(job_id, None)

    def speed(self, job_id: str) -> Speed:
        """The progress of a job's current file now."""
        now = time.monotonic()
        with self._lock:
            file = self._files.get(job_id)
            if file is None:
                return Speed("", 0, None, 0.0, 0.0)
            since, before = file.samples[0]
            rate = max(0, file.done - before) / max(now - since, 0.001)
            arrived = file.total is not None and file.done >= file.total
            name = "" if arrived else file.name
            return Speed(name, file.done, file.total, rate, _seconds_left(file, rate, now))


def _seconds_left(file: _File, rate: float, now: float) -> float:
    if now - file.begun < _LEAST:
        return 0.0
    still = now - file.samples[-1][0]  # a sample is added whenever bytes come
    if still >= STALLED_SECONDS and (file.total is None or file.done < file.total):
        return math.inf
    if file.total is None:
        return math.inf if now - file.begun >= _UNKNOWN else 0.0
    if file.done >= file.total:  # all has arrived, and is on its way to the bucket
        return math.inf if still >= _UNKNOWN else 0.0
    return (file.total - file.done) / rate if rate else math.inf


def should_yield(seconds_left: float, waiting: Iterable[float | None]) -> bool:
    """Whether a job with so much left to do should let others go first.

    `waiting` are the seconds for which the worker keeps the result of each; None or less than zero
    where nobody knows, or where it may be gone already.
    """
    if seconds_left <= SOON:
        return False
    return any(
        seconds_left > (LONGEST_WAIT if left is None or left <= 0 else left - RESERVE)
        for left in waiting
    )
