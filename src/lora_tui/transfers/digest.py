"""Computes the checksum of a file while it is being fetched, in its own thread.

It reads the file, so the checksum is of the bytes on the disk, not of those received. It follows
the part without gaps from the start, so bytes may arrive in any order. `hashlib` releases the GIL.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Final

from lora_tui.errors import DiskError

_BLOCK: Final = 1 << 20
_WORTH_A_THREAD: Final = 4 << 20


class IncrementalDigest:
    """SHA-256 of one version of an open file that other threads write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._at = 0
        self._frontier = 0
        self._ended = False
        self._error: OSError | None = None
        self._moved = threading.Condition()
        self._thread: threading.Thread | None = None

    def follow(self, frontier: int) -> None:
        """Report that everything before `frontier` has been written."""
        with self._moved:
            self._frontier = max(self._frontier, frontier)
            self._moved.notify()
        if self._thread is None and frontier - self._at >= _WORTH_A_THREAD:
            self._thread = threading.Thread(target=self._run, name="checksum", daemon=True)
            self._thread.start()

    def result(self, total: int) -> str:
        """The checksum of all `total` bytes, in hexadecimal. Raises OSError, DiskError."""
        self.follow(total)
        self.close(drain=True)
        self._catch_up(total)
        if self._error is not None:
            raise self._error
        if self._at != total:
            raise DiskError("The partial file was changed by another program")
        return self._digest.hexdigest()

    def close(self, *, drain: bool = False) -> None:
        """End the thread, at once or (`drain`) after everything that was written."""
        with self._moved:
            self._ended = True
            if not drain:
                self._frontier = 0
            self._moved.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        buffer = memoryview(bytearray(_BLOCK))
        try:
            while True:
                with self._moved:
                    self._moved.wait_for(lambda: self._ended or self._frontier > self._at)
                    frontier = self._frontier
                if frontier <= self._at:
                    return
                if not self._add(frontier, buffer):
                    return
        except OSError as error:
            self._error = error

    def _catch_up(self, total: int) -> None:
        buffer = memoryview(bytearray(min(_BLOCK, max(1, total - self._at))))
        while self._at < total and self._error is None and self._add(total, buffer):
            pass

    def _add(self, frontier: int, buffer: memoryview) -> bool:
        """Add one block before `frontier`; False if the file ends too early."""
        room = buffer[: min(len(buffer), frontier - self._at)]
        count = os.preadv(self._descriptor, [room], self._at)
        self._digest.update(room[:count])
        self._at += count
        return count > 0
