"""The object that a file is fetched from, shared by its readers: link, version, missing spans.

It also decides how many connections the file gets: several if the server limits the rate of each,
else one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from lora_tui import formats
from lora_tui.errors import BackendError, IntegrityError
from lora_tui.transfers.connection import ChangedError, RangeResponse
from lora_tui.transfers.part import Part, Version
from lora_tui.transfers.pieces import Pieces

MOST_BYTES: Final = 5 << 30
"""The limit of one file in the bucket."""

_LINK_IS_NEW_SECONDS: Final = 5.0
"""A link that is refused within this time has not expired."""

_GLANCE_SECONDS: Final = 0.05
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


class RemoteFile:
    """Link, version and missing spans of one object."""

    def __init__(
        self, part: Part, sign: Callable[[], str], expected_size: int | None, connections: int
    ) -> None:
        self.part = part
        self.expected = expected_size
        self.scaling = ConnectionScaling(connections)
        self.version: Version | None = None
        self.pieces = Pieces(None)
        resumed = part.resume()
        if resumed is not None and expected_size in (None, resumed[0].total):
            self.version, self.pieces = resumed
        self._sign = sign
        self._sign_lock = threading.Lock()
        self._url: str | None = None
        self._signed_at = 0.0
        self._changed = False

    @property
    def resumable(self) -> bool:
        """Whether bytes of several responses can be combined."""
        return self.version is not None and self.version.resumable

    @property
    def is_unknown(self) -> bool:
        """Whether there was no response yet."""
        return self.version is None and not self._changed

    def link(self) -> str:
        """The signed URL; makes one if there is none."""
        with self._sign_lock:
            if self._url is None:
                self._url = self._sign()
                self._signed_at = time.monotonic()
            return self._url

    def discard_link(self) -> bool:
        """Discard the link; whether it was old enough to have expired."""
        self._url = None
        return time.monotonic() - self._signed_at >= _LINK_IS_NEW_SECONDS

    def accept_version(self, response: RangeResponse) -> None:
        """Set the version from the first response; raise unless later ones have the same.

        The readers call it one at a time. Raises ChangedError, BackendError, IntegrityError.
        """
        total = response.version.total if response.has_length else self.expected
        if total is None and self.version is not None and response.ranged:
            total = self.version.total  # `Content-Range: bytes 5-9/*`
        version = Version(response.version.etag, total)
        if self.resumable:
            if version != self.version:
                raise response.error_page(self._name) or ChangedError(
                    "The file in the bucket has changed"
                )
            return
        if self._is_suspect(response) and (page := response.error_page(self._name)) is not None:
            raise page
        if total is None and not response.has_certain_end:
            raise BackendError(
                "The storage does not say how long the file is",
                remedy="a proxy may have removed the length; try without it",
            )
        if total is not None:
            self.check_size(total)
        self.part.restart()
        self.part.check_space(total or 0)
        self.version = version
        self.pieces = Pieces(total)
        if response.range_ignored:
            self.scaling.refuse()

    def _is_suspect(self, response: RangeResponse) -> bool:
        """Whether it may be a page: by its type, or by a size that differs from the manifest's."""
        if self.expected is None or not response.has_length:
            return response.is_html
        return response.version.total != self.expected

    @property
    def _name(self) -> str:
        return self.part.path.name.removesuffix(".part")

    def check_size(self, total: int) -> None:
        """Raises IntegrityError if it is not the manifest's size."""
        if self.expected is not None and total != self.expected:
            raise IntegrityError(
                "The stored file has another size than its manifest says",
                details=f"{total} bytes, the manifest says {self.expected}",
            )

    def check_length(self, length: int) -> None:
        """Raises IntegrityError if the file can't have that many bytes."""
        most = MOST_BYTES if self.expected is None else self.expected
        if length > most:
            raise IntegrityError(
                "The storage sends more bytes than the file has"
                if self.expected is not None
                else "The storage sends more bytes than the bucket takes",
                details=f"more than {formats.count(most)}",
            )

    def restart(self, *, changed: bool = False) -> None:
        """Discard everything that was fetched."""
        self._changed = self._changed or changed
        self.part.restart()
        self.version, self.pieces = None, Pieces(None)


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
        self.expects_more = False
        """Whether more than one will probably be tried soon."""
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
        seconds = max(WORTHWHILE_SECONDS, _WORTHWHILE_WAITS * self._wait)
        slow = rate < _FAST and missing > rate * seconds
        self.expects_more = slow and elapsed >= _GLANCE_SECONDS
        if elapsed < _LISTEN_SECONDS or (elapsed < STEADY_SECONDS and self._is_rising()):
            return
        self._seen.clear()
        self._seen.append((now, done))
        if slow:
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
