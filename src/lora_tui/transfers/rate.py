"""A limit on bytes a second, and the measured rate and remaining time of transfers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from lora_tui.cache.transfer_queue import Transfer, TransferState

_BURST_SECONDS: Final = 0.1
_WINDOW: Final = timedelta(seconds=6)


class RateLimit:
    """A token bucket, shared by all connections. Call `take` before each read."""

    def __init__(self, bytes_a_second: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.bytes_a_second = bytes_a_second
        self._now = now
        self._lock = threading.Lock()
        self._tokens = 0.0
        self._filled_at = now()

    @property
    def burst(self) -> int:
        """The maximum of bytes at once."""
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


class RateMeter:
    """Measures the rate of running transfers over the last seconds."""

    def __init__(self) -> None:
        self._seen: dict[int, deque[tuple[datetime, int]]] = {}

    def observe(self, transfers: Iterable[Transfer]) -> None:
        """Add the current progress of each file. Files that do not run are dropped."""
        for transfer in transfers:
            if transfer.state is not TransferState.RUNNING or transfer.updated_at is None:
                self._seen.pop(transfer.id, None)
                continue
            # the first report after a resume jumps from zero: not a rate
            if transfer.bytes_done <= 0:
                self._seen.pop(transfer.id, None)
                continue
            seen = self._seen.setdefault(transfer.id, deque())
            if seen and (transfer.bytes_done < seen[-1][1] or transfer.updated_at < seen[-1][0]):
                seen.clear()
            if not seen or transfer.updated_at > seen[-1][0]:
                seen.append((transfer.updated_at, transfer.bytes_done))
            while len(seen) > 2 and seen[-1][0] - seen[0][0] > _WINDOW:
                seen.popleft()

    def rate(self, transfer: Transfer) -> float | None:
        """Bytes a second over the last seconds; None if not known yet."""
        seen = self._seen.get(transfer.id)
        if not seen or len(seen) < 2:
            return None
        (first, before), (last, now) = seen[0], seen[-1]
        return (now - before) / (last - first).total_seconds()


def seconds_left(transfers: Iterable[Transfer], rate: float | None) -> float | None:
    """Remaining seconds at `rate`; None if a size or the rate is not known."""
    if not rate or rate <= 0:
        return None
    missing = 0
    for transfer in transfers:
        if transfer.bytes_total is None:
            return None
        missing += max(0, transfer.bytes_total - transfer.bytes_done)
    return missing / rate
