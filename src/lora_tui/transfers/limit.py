"""A limit on bytes a second that all connections of this process share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_BURST_SECONDS: Final = 0.1


class RateLimit:
    """A token bucket. A reader asks before it reads, and is told how much it may."""

    def __init__(self, bytes_a_second: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.bytes_a_second = bytes_a_second
        self._now = now
        self._lock = threading.Lock()
        self._tokens = 0.0
        self._filled_at = now()

    @property
    def burst(self) -> int:
        """The most bytes at once."""
        return max(1, int(self.bytes_a_second * _BURST_SECONDS))

    def take(self, wanted: int) -> tuple[int, float]:
        """How many bytes may be read, and after how many seconds of waiting."""
        with self._lock:
            now = self._now()
            self._tokens = min(
                self.burst, self._tokens + (now - self._filled_at) * self.bytes_a_second
            )
            self._filled_at = now
            count = min(wanted, self.burst)
            self._tokens -= count
            return count, max(0.0, -self._tokens / self.bytes_a_second)
