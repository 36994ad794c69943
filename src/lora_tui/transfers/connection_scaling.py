"""How many connections one file gets: several if the server limits the rate of each, else one."""

from __future__ import annotations

from collections import deque
from typing import Final

_LISTEN_SECONDS: Final = 0.15
STEADY_SECONDS: Final = 3.0
WORTHWHILE_SECONDS: Final = 1.0
_WORTHWHILE_WAITS: Final = 4
"""The rest must take this many times as long as the wait for the first byte."""
_RISING: Final = 1.25
_GAIN: Final = 1.3
_FAST: Final = 100e6
"""Bytes a second of one connection from which on the processor is the limit."""
_LONGEST_CHUNK_SECONDS: Final = 1.0
_SHORTEST_CHUNK_SECONDS: Final = 0.1
_SMALLEST_CHUNK: Final = 1 << 20
_LARGEST_CHUNK: Final = 64 << 20
_CHUNKS_TO_GO: Final = 4
"""Per connection, within the limits of duration above."""


class ConnectionScaling:
    """Decides, from the progress of a file, how many connections are worth using.

    It starts with one. When the rate of that one has stopped rising and enough is left to fetch,
    it tries the maximum, and keeps them while they are faster than one. Elapsed time counts, so a
    server that takes seconds to the first byte soon gets one again. A connection as fast as the
    machine is measured further, as some servers slow down only later.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = 1
        self._rate_of_one = 0.0
        self._settled = most <= 1
        self._kept = False
        """Whether several connections were faster than one."""
        self._first: tuple[float, int] | None = None
        self._wait = 0.0
        """Seconds to the first byte of a response."""
        self._seen: deque[tuple[float, int]] = deque()
        self._all_after: float | None = None
        """Seconds until all connections had their first byte."""

    def chunk(self, missing: int) -> int | None:
        """Bytes of the next request with several connections; None with one.

        It shrinks with `missing`, so that all connections end at about the same time, and the
        checksum, which follows the first gap, is not far behind.
        """
        if self.allowed == 1:
            return None
        share = missing // (_CHUNKS_TO_GO * self.allowed)
        seconds = max(_LONGEST_CHUNK_SECONDS, _WORTHWHILE_WAITS * self._wait)
        longest = min(_LARGEST_CHUNK, self._rate_of_one * seconds)
        shortest = min(_LARGEST_CHUNK, self._rate_of_one * _SHORTEST_CHUNK_SECONDS)
        return max(_SMALLEST_CHUNK, int(max(shortest, min(longest, share))))

    def connection_lost(self, left: int) -> None:
        """A connection failed: keep the `left` others, and start no more."""
        self.allowed = max(1, left)
        self._settled = True

    def refuse(self) -> None:
        """The server does not support ranges: use one connection."""
        self.allowed = 1
        self._settled = True

    def observe(self, now: float, done: int, missing: int, receiving: int) -> int:
        """How many connections to use, at `now` (seconds) with `done` and `missing` bytes."""
        if self._first is None:
            self._first = (now, done)
        if self._settled or done <= self._first[1]:
            return self.allowed
        if not self._seen:
            self._wait = now - self._first[0]
            self._seen.append((now, done))
        elif self.allowed > 1:
            self._watch_several(now, done, missing, receiving)
        elif receiving:
            self._watch_one(now, done, missing)
        return self.allowed

    def _watch_one(self, now: float, done: int, missing: int) -> None:
        self._seen.append((now, done))
        elapsed, rate = self._measure()
        if elapsed < _LISTEN_SECONDS or (elapsed < STEADY_SECONDS and self._is_rising()):
            return
        self._seen.clear()
        self._seen.append((now, done))
        seconds = max(WORTHWHILE_SECONDS, _WORTHWHILE_WAITS * self._wait)
        if rate < _FAST and missing > rate * seconds:
            self._rate_of_one = rate
            self.allowed = self._most
            self._all_after = None

    def _watch_several(self, now: float, done: int, missing: int, receiving: int) -> None:
        self._seen.append((now, done))
        elapsed, rate = self._measure()
        if self._all_after is None and receiving >= self.allowed:
            self._all_after = elapsed
        gained = rate >= self._rate_of_one * _GAIN
        if elapsed < STEADY_SECONDS:
            if self._kept or self._all_after is None:
                return
            # the first decision may come sooner, once the rate of each can be measured
            if elapsed < _LISTEN_SECONDS + 2 * self._all_after:
                return
            if not gained and self._is_rising():
                return
        if gained:
            self._kept = True
        elif missing > rate * STEADY_SECONDS:
            self.allowed = self.allowed // 2 if self._kept else 1
            self._settled = self.allowed == 1
        self._seen.clear()
        self._seen.append((now, done))

    def _measure(self) -> tuple[float, float]:
        """Seconds of the current measurement, and bytes a second in them."""
        (start, began_with), (now, done) = self._seen[0], self._seen[-1]
        return now - start, (done - began_with) / (now - start) if now > start else 0.0

    def _is_rising(self) -> bool:
        """Whether the second half of the measurement was clearly faster than the first."""
        (start, began_with), (now, done) = self._seen[0], self._seen[-1]
        middle, at_middle = next(
            (when, count) for when, count in self._seen if when - start >= (now - start) / 2
        )
        if middle in (start, now):
            return True
        early = (at_middle - began_with) / (middle - start)
        return (done - at_middle) / (now - middle) > early * _RISING
