"""How many connections to one file: more where the server holds each of them back, else one."""

from __future__ import annotations

from collections import deque
from typing import Final

_LISTEN_SECONDS: Final = 0.15
_STEADY_SECONDS: Final = 3.0
_WORTHWHILE_SECONDS: Final = 1.0
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


class Growth:
    """Told how far the file is, it says how many connections are worth having.

    It starts with one. When the rate of that one has stopped rising and there is enough left to
    fetch, it tries as many as there may be, and keeps them where that made the file faster. A
    line as fast as the machine is watched on: some servers hold back only what comes later.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = 1
        self._rate_of_one = 0.0
        self._settled = most <= 1
        self._seen: deque[tuple[float, int]] = deque()

    def chunk(self, missing: int) -> int | None:
        """Bytes of the next request where there are several connections; None with one alone.

        The less is `missing`, the smaller, so that all connections end at about the same time,
        and the checksum, which follows the first gap, is not far behind then.
        """
        if self.allowed == 1:
            return None
        share = missing // (_CHUNKS_TO_GO * self.allowed)
        longest = min(_LARGEST_CHUNK, self._rate_of_one * _LONGEST_CHUNK_SECONDS)
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

    def observe(self, now: float, done: int, missing: int, running: int) -> int:
        """How many connections there should be. `now` in seconds, the rest as it is then."""
        if self._settled or done <= 0 or running < self.allowed:
            return self.allowed
        self._seen.append((now, done))
        start, began_with = self._seen[0]
        if now - start < _LISTEN_SECONDS:
            return self.allowed
        middle, at_middle = next(
            (when, count) for when, count in self._seen if when - start >= (now - start) / 2
        )
        if middle in (start, now):
            return self.allowed
        early = (at_middle - began_with) / (middle - start)
        late = (done - at_middle) / (now - middle)
        if late > early * _RISING and now - start < _STEADY_SECONDS:
            return self.allowed
        self._seen.clear()
        rate = (done - began_with) / (now - start)
        if self.allowed > 1:
            self._settled = True
            if rate < self._rate_of_one * _GAIN:
                self.allowed = 1
        elif rate < _FAST and missing > rate * _WORTHWHILE_SECONDS:
            self._rate_of_one = rate
            self.allowed = self._most
        return self.allowed
