"""How many connections to one file: more where the server holds each of them back, else one."""

from __future__ import annotations

from collections import deque
from typing import Final

_LISTEN_SECONDS: Final = 0.15
STEADY_SECONDS: Final = 3.0
WORTHWHILE_SECONDS: Final = 1.0
_WORTHWHILE_WAITS: Final = 4
"""The rest must take this many times as long as the first byte of an answer."""
_RISING: Final = 1.25
_GAIN: Final = 1.3
_FAST: Final = 100e6
"""Bytes a second of one connection beyond which it is the processor that sets the pace."""
_LONGEST_CHUNK_SECONDS: Final = 1.0
_SHORTEST_CHUNK_SECONDS: Final = 0.1
_SMALLEST_CHUNK: Final = 1 << 20
_LARGEST_CHUNK: Final = 64 << 20
_CHUNKS_TO_GO: Final = 4
"""Of each connection, as far as they are neither too long nor too short."""


class ConnectionScaling:
    """Decides, from the progress of a file, how many connections are worth using.

    It starts with one. When the rate of that one has stopped rising and there is enough left to
    fetch, it tries as many as there may be, and keeps them for as long as the file comes faster by
    them. What counts is the time that passes, so a server that takes seconds to the first byte of
    each answer is soon left with one. A line as fast as the machine is watched on: some servers
    hold back only what comes later.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = 1
        self._rate_of_one = 0.0
        self._settled = most <= 1
        self._kept = False
        """Whether several have shown that they are worth while."""
        self._first: tuple[float, int] | None = None
        self._wait = 0.0
        """Seconds to the first byte of an answer."""
        self._seen: deque[tuple[float, int]] = deque()
        self._all_after: float | None = None
        """Seconds until all of several had their first byte."""

    def chunk(self, missing: int) -> int | None:
        """Bytes of the next request where there are several connections; None with one alone.

        The less is `missing`, the smaller, so that all connections end at about the same time,
        and the checksum, which follows the first gap, is not far behind then.
        """
        if self.allowed == 1:
            return None
        share = missing // (_CHUNKS_TO_GO * self.allowed)
        seconds = max(_LONGEST_CHUNK_SECONDS, _WORTHWHILE_WAITS * self._wait)
        longest = min(_LARGEST_CHUNK, self._rate_of_one * seconds)
        shortest = min(_LARGEST_CHUNK, self._rate_of_one * _SHORTEST_CHUNK_SECONDS)
        return max(_SMALLEST_CHUNK, int(max(shortest, min(longest, share))))

    def lost_one(self, left: int) -> None:
        """A connection failed while `left` others go on: be content with those."""
        self.allowed = max(1, left)
        self._settled = True

    def refuse(self) -> None:
        """Parts of the file can't be had."""
        self.allowed = 1
        self._settled = True

    def observe(self, now: float, done: int, missing: int, receiving: int) -> int:
        """How many connections there should be. `now` in seconds, the rest as it is then."""
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
        elapsed, rate = self._so_far()
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
        elapsed, rate = self._so_far()
        if self._all_after is None and receiving >= self.allowed:
            self._all_after = elapsed
        gained = rate >= self._rate_of_one * _GAIN
        if elapsed < STEADY_SECONDS:
            if self._kept or self._all_after is None:
                return
            # the first verdict may come sooner, once each of them has had time to show its rate
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

    def _so_far(self) -> tuple[float, float]:
        """Seconds since the look began, and bytes a second in them."""
        (start, began_with), (now, done) = self._seen[0], self._seen[-1]
        return now - start, (done - began_with) / (now - start) if now > start else 0.0

    def _is_rising(self) -> bool:
        """Whether the later half of the look was clearly faster than the first one."""
        (start, began_with), (now, done) = self._seen[0], self._seen[-1]
        middle, at_middle = next(
            (when, count) for when, count in self._seen if when - start >= (now - start) / 2
        )
        if middle in (start, now):
            return True
        early = (at_middle - began_with) / (middle - start)
        return (done - at_middle) / (now - middle) > early * _RISING
