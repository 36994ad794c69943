"""Connections to the storage that are kept for the next file, as each costs several round trips."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from lora_tui.errors import UnreachableError
from lora_tui.transfers.connection import RangeConnection

_IDLE_SECONDS: Final = 15.0
"""Servers end idle connections after 60 seconds and more, some routers earlier."""
_MOST_IDLE: Final = 16


class KeptConnections:
    """The idle connections of one process. Safe to use from several threads."""

    def __init__(self, *, stall_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        """`stall_seconds`: how long a connection waits for the next byte."""
        self._stall_seconds, self._now = stall_seconds, now
        self._lock = threading.Lock()
        self._idle: list[tuple[float, RangeConnection]] = []
        self._closings = 0

    @property
    def count(self) -> int:
        """How many are idle."""
        with self._lock:
            return len(self._idle)

    def take(self) -> RangeConnection:
        """The connection that was used last, or a new one that is not connected yet."""
        taken: RangeConnection | None = None
        with self._lock:
            dropped = self._drop_old()
            while self._idle and taken is None:
                _, last = self._idle.pop()
                if last.is_reusable:
                    taken = last
                else:
                    dropped.append(last)
        _close(dropped)
        return taken or RangeConnection(stall_seconds=self._stall_seconds)

    def give_back(self, connection: RangeConnection) -> None:
        """Keep a connection for the next file if it can be used again; else close it."""
        with self._lock:
            dropped = self._drop_old()
            if connection.is_reusable and len(self._idle) < _MOST_IDLE:
                self._idle.append((self._now(), connection))
            else:
                dropped.append(connection)
        _close(dropped)

    def open_ahead(self, url: str, count: int) -> None:
        """Have connections to the host of `url` made, so that `take` gives them; returns at once.

        Idle ones count.
        """
        with self._lock:
            missing = min(count, _MOST_IDLE) - len(self._idle)
            since = self._closings
        for _ in range(missing):
            threading.Thread(
                target=self._open, args=(url, since), name="connect", daemon=True
            ).start()

    def _open(self, url: str, since: int) -> None:
        connection = RangeConnection(stall_seconds=self._stall_seconds)
        with suppress(UnreachableError):  # who takes no connection makes one, and says why not
            connection.open(url)
            self.give_back(connection)
        if since != self._closings:
            self.close()  # nobody needs it any more

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            self._closings += 1
            idle, self._idle = self._idle, []
        _close([connection for _, connection in idle])

    def _drop_old(self) -> list[RangeConnection]:
        since = self._now() - _IDLE_SECONDS
        old = [connection for used_at, connection in self._idle if used_at < since]
        self._idle = [(used_at, kept) for used_at, kept in self._idle if used_at >= since]
        return old


def _close(connections: list[RangeConnection]) -> None:
    for connection in connections:
        connection.close()
