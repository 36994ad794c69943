"""Connections to the storage that are kept for the next file, as each costs several round trips."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

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

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
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
