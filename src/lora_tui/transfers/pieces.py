"""Which bytes of a file are still missing, and which connection fetches which of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

UNKNOWN_END: Final = 1 << 62
"""The end of a file whose length nobody has told yet."""

_LEAST: Final = 256 << 10
"""Bytes of a part that is worth a request of its own."""
_FAR: Final = 16
"""Chunks by which the first gap may be behind before others help with it."""


@dataclass(eq=False)
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
    def missing(self) -> int:
        """Bytes to go, as far as that is known."""
        with self._lock:
            return 0 if self._total is None else sum(gap.missing for gap in self._gaps)

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

    def take(self, chunk: int | None = None) -> Piece | None:
        """The first gap that nobody fetches; None where there is nothing to do.

        With `chunk`, at most about so many bytes of it, so that the bytes come roughly in order.
        Where every gap is being fetched, a part of the largest: what lies beyond its next chunk,
        or at the end of a file its second half. So too of the first gap, where it is far behind.
        """
        with self._lock:
            free = next((gap for gap in self._gaps if not gap.taken), None)
            if free is not None and chunk is None:
                self._join_following(free)
            if chunk is not None and self._total is not None and self._gaps:
                if free is None:
                    free = self._share(max(self._gaps, key=lambda gap: gap.missing), chunk)
                elif free.at - self._gaps[0].at > _FAR * chunk:
                    free = self._share(self._gaps[0], chunk) or free
                if free is not None and free.missing > 2 * chunk:
                    self._split(free, free.at + chunk)
            if free is not None:
                free.taken = True
            return free

    def go_on(self, piece: Piece, reach: int) -> bool:
        """Give whoever has filled this piece what follows on it, up to `reach`, if it is free.

        So an answer that is still coming need not be asked for again.
        """
        with self._lock:
            number = next((n for n, gap in enumerate(self._gaps) if gap.at >= piece.end), None)
            if number is None or piece.missing:
                return False
            following = self._gaps[number]
            if following.taken or following.at != piece.end or reach <= piece.end:
                return False
            self._join_following(following)
            piece.end = min(following.end, reach)
            self._gaps[number : number + 1] = [piece]
            if piece.end < following.end:
                following.at = piece.end
                self._gaps.insert(number + 1, following)
            return True

    def _join_following(self, gap: Piece) -> None:
        """Merge the free gaps that follow this one."""
        number = self._gaps.index(gap) + 1
        while number < len(self._gaps):
            following = self._gaps[number]
            if following.taken or following.at != gap.end:
                return
            gap.end = following.end
            del self._gaps[number]

    def _share(self, gap: Piece, chunk: int) -> Piece | None:
        """A part of a gap that somebody fetches, where it is worth while."""
        if not gap.taken:
            return gap
        if gap.missing < 2 * _LEAST:
            return None
        return self._split(gap, gap.at + min(chunk, gap.missing // 2))

    def _split(self, gap: Piece, at: int) -> Piece:
        rest = Piece(at, gap.end)
        self._gaps.insert(self._gaps.index(gap) + 1, rest)
        gap.end = at
        return rest

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
