"""Which bytes of a file are still missing, and which connection fetches which of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

UNKNOWN_END: Final = 1 << 62
"""The end of a file whose length nobody has told yet."""


@dataclass
class Piece:
    """A gap: the bytes from `at` up to but not including `end`. `Pieces` alone changes it."""

    at: int
    end: int
    taken: bool = False

    @property
    def missing(self) -> int:
        """Bytes to go."""
        return self.end - self.at


class Pieces:
    """The gaps of one file. Safe to use from several threads."""

    def __init__(self, total: int | None, missing: Iterable[tuple[int, int]] | None = None) -> None:
        """All of it is missing, unless `missing` says which spans are."""
        self._lock = threading.Lock()
        self._total = total
        spans = [(0, UNKNOWN_END if total is None else total)] if missing is None else missing
        self._gaps = [Piece(at, end) for at, end in sorted(spans) if at < end]

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, where that is known."""
        return self._total

    @property
    def done(self) -> int:
        """Bytes that are there."""
        with self._lock:
            if self._total is None:
                return self._gaps[0].at if self._gaps else 0
            return self._total - sum(gap.missing for gap in self._gaps)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        with self._lock:
            return not self._gaps

    @property
    def frontier(self) -> int:
        """Everything before this is there."""
        with self._lock:
            return self._gaps[0].at if self._gaps else self._total or 0

    def gaps(self) -> list[tuple[int, int]]:
        """The missing spans, in order."""
        with self._lock:
            return [(gap.at, gap.end) for gap in self._gaps]

    def take(self, least: int | None = None) -> Piece | None:
        """A gap that nobody fetches; else the second half of the largest that somebody does.

        A half is at least `least` bytes; None forbids halving. None where there is nothing to do.
        """
        with self._lock:
            for gap in self._gaps:
                if not gap.taken:
                    gap.taken = True
                    return gap
            if least is None or not self._gaps or self._total is None:
                return None
            index, largest = max(enumerate(self._gaps), key=lambda item: item[1].missing)
            if largest.missing < 2 * least:
                return None
            middle = largest.at + largest.missing // 2
            half = Piece(middle, largest.end, taken=True)
            largest.end = middle
            self._gaps.insert(index + 1, half)
            return half

    def advance(self, piece: Piece, count: int) -> None:
        """`count` bytes have been written at `piece.at`; its end may have moved meanwhile."""
        with self._lock:
            piece.at = min(piece.at + count, piece.end)
            if piece.at == piece.end and piece in self._gaps:
                self._gaps.remove(piece)

    def release(self, piece: Piece) -> None:
        """Somebody else may fetch the rest of it."""
        with self._lock:
            piece.taken = False

    def end_here(self, piece: Piece) -> None:
        """The file of unknown length ends where this piece is."""
        with self._lock:
            self._total = piece.at
            self._gaps.clear()
