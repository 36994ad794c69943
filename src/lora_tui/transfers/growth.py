"""How many connections to one file: more where the server holds each of them back, else one."""

from __future__ import annotations

from collections import deque
from typing import Final

_FIRST_STEP: Final = 4
_LISTEN_SECONDS: Final = 0.3
_STEADY_SECONDS: Final = 3.0
_WORTHWHILE_SECONDS: Final = 1.0
_RISING: Final = 1.25
_GAIN: Final = 1.3
_FAST: Final = 100e6
"""Bytes a second of one connection beyond which it is the processor that sets the pace."""


class Growth:
    """Told how far the file is, it says how many connections are worth having.

    It starts with one. When the rate of that one has stopped rising and there is enough left to
    fetch, it tries several; it keeps what made the file faster, and takes back what did not.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = 1
        self._before = 1
        self._rate_before = 0.0
        self._settled = most <= 1
        self._seen: deque[tuple[float, int]] = deque()

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
        self._decide(late, missing)
        return self.allowed

    def _decide(self, rate: float, missing: int) -> None:
        self._seen.clear()
        if self.allowed == 1:
            if rate >= _FAST:
                self._settled = True
            elif missing > rate * _WORTHWHILE_SECONDS:
                self._step(min(_FIRST_STEP, self._most), rate)
        elif rate < self._rate_before * _GAIN:
            self.allowed = self._before
            self._settled = True
        elif self.allowed < self._most and missing > rate * _WORTHWHILE_SECONDS:
            self._step(min(2 * self.allowed, self._most), rate)
        else:
            self._settled = True

    def _step(self, to: int, rate: float) -> None:
        self._before, self._rate_before = self.allowed, rate
        self.allowed = to
        self._settled = to == self._before
