"""Threads of one process write a cache in the order in which they ask.

SQLite lets whoever asks at the right moment write, and the others ask again after a pause: beside a
sync that writes one page after the other a mark as read has waited for seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


class WriteTurns:
    """Turns at one file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()
        """One for each thread that waits; it is released when that thread has the turn."""

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    def take(self, seconds: float) -> bool:
        """Wait for the turn; False if it did not come in time."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            ours = threading.Lock()
            ours.acquire()
            self._waiting.append(ours)
        if ours.acquire(timeout=seconds):
            return True
        with self._lock:
            if ours not in self._waiting:
                return True  # it came at the last moment
            self._waiting.remove(ours)
            return False

    def give(self) -> None:
        """Pass the turn to whoever has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False


_TURNS: Final[dict[Path, WriteTurns]] = {}
_lock: Final = threading.Lock()


def turns_at(path: Path) -> WriteTurns:
    """The turns at a file, the same for all threads."""
    with _lock:
        return _TURNS.setdefault(path, WriteTurns())


@contextmanager
def write_turn(path: Path, seconds: float) -> Iterator[None]:
    """Hold the turn at a file. After so many seconds go on without: then SQLite decides."""
    turns = turns_at(path)
    has_turn = turns.take(seconds)
    try:
        yield
    finally:
        if has_turn:
            turns.give()
