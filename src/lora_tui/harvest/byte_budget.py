"""Limits the bytes and the files that all jobs of a process have in hand at once.

A file is in hand from its first request until it is stored. Its bytes count as soon as its size is
known; until they fit, it waits. A file that is larger than the budget goes alone. Files of jobs
that began earlier go first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from lora_tui.config.table import SPOOL_LIMIT

MOST_FILES: Final = 8
"""Each has buffers and two threads."""
_CHECK_SECONDS: Final = 0.5
"""How often a file that waits asks whether it should stop."""


class Share:
    """The share of one file. Call `close` when it is stored, or given up."""

    def __init__(self, budget: ByteBudget, job_id: str, turn: int, *, waits: bool) -> None:
        self._budget = budget
        self.job_id = job_id
        self.turn = turn
        self.waits = waits
        """Whether it waits until its bytes fit."""
        self.bytes = 0
        self.counts = True
        """Whether it takes a place."""

    def reserve(self, size: int | None, check_stop: Callable[[], None]) -> None:
        """Wait until so many bytes fit. Raises what `check_stop` raises."""
        self._budget._reserve(self, size or 0, check_stop)

    def grow(self, size: int) -> None:
        """Count what has arrived of a file of unknown size."""
        if size > self.bytes:
            self._budget._resize(self, size)

    def close(self) -> None:
        """Free the place and the bytes; again without effect."""
        self._budget._free(self)


class ByteBudget:
    """What all jobs of a process may have in hand. Safe to use from several threads."""

    def __init__(self, limit: float = SPOOL_LIMIT, most_files: int = MOST_FILES) -> None:
        """`limit`: bytes of all files in hand."""
        self.limit = limit
        self.most_files = most_files
        self._changed = threading.Condition()
        self._shares: set[Share] = set()
        """Those that count."""
        self._waiting: list[Share] = []
        """Those that wait for their bytes to fit."""
        self._slow: set[str] = set()
        """Jobs whose files do not count."""
        self._turns = 0

    def next_turn(self) -> int:
        """The turn of a job that begins."""
        with self._changed:
            self._turns += 1
            return self._turns

    def enter(
        self, job_id: str, turn: int, check_stop: Callable[[], None], *, waits: bool = True
    ) -> Share:
        """Wait for the place of one file. Raises what `check_stop` raises.

        Without `waits` it waits for no bytes to become free: for a file that others wait for.
        """
        share = Share(self, job_id, turn, waits=waits)
        with self._changed:
            while job_id not in self._slow and len(self._shares) >= self.most_files:
                self._wait(check_stop)
            if job_id in self._slow:
                share.counts = False
            else:
                self._shares.add(share)
        return share

    @property
    def bytes_in_hand(self) -> int:
        """Of all files that count."""
        with self._changed:
            return self._bytes()

    @property
    def files_waiting(self) -> int:
        """Files whose bytes do not fit yet."""
        with self._changed:
            return len(self._waiting)

    def stop_counting(self, job_id: str) -> None:
        """Free what a job holds, though it goes on: it is so slow that others go on beside it.

        Its further files take no places either, until `count_again`.
        """
        with self._changed:
            self._slow.add(job_id)
            for share in [share for share in self._shares if share.job_id == job_id]:
                self._drop(share)

    def count_again(self, job_id: str) -> None:
        """Count the files that a job begins from now on: it is slow no longer, or has ended."""
        with self._changed:
            self._slow.discard(job_id)

    def _bytes(self) -> int:
        return sum(share.bytes for share in self._shares)

    def _reserve(self, share: Share, size: int, check_stop: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(share)
            try:
                while share.waits and share.counts and not self._fits(share, size):
                    self._wait(check_stop)
            finally:
                self._waiting.remove(share)
            share.bytes = size
            self._changed.notify_all()

    def _fits(self, share: Share, size: int) -> bool:
        if share is not min(self._waiting, key=lambda other: other.turn):
            return False
        others = self._bytes() - share.bytes
        return not others or others + size <= self.limit

    def _resize(self, share: Share, size: int) -> None:
        with self._changed:
            share.bytes = size

    def _free(self, share: Share) -> None:
        with self._changed:
            self._drop(share)

    def _drop(self, share: Share) -> None:
        share.counts = False
        self._shares.discard(share)
        self._changed.notify_all()

    def _wait(self, check_stop: Callable[[], None]) -> None:
        """Wait for a change, outside of the lock where it asks whether to stop."""
        if not self._changed.wait(_CHECK_SECONDS):
            self._changed.release()
            try:
                check_stop()
            finally:
                self._changed.acquire()
