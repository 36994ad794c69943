"""The missing spans of a file, and their distribution over connections."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

UNKNOWN_END: Final = 1 << 62
"""The end of a file of unknown length."""

_LEAST: Final = 256 << 10
"""The smallest span that is worth its own request."""
_FAR: Final = 16
"""Chunks by which the first gap may fall behind before others help with it."""


@dataclass(eq=False)
class Piece:
    """A gap: the bytes from `at` up to `end` (exclusive). Changed only by `Pieces`."""

    at: int
    end: int
    taken: bool = False

    @property
    def missing(self) -> int:
        """Missing bytes."""
        return self.end - self.at


class Pieces:
    """The gaps of one file. Safe to use from several threads."""

    def __init__(self, total: int | None, missing: Iterable[tuple[int, int]] | None = None) -> None:
        """`missing`: the missing spans; by default the whole file."""
        self._lock = threading.Lock()
        self._total = total
        spans = [(0, UNKNOWN_END if total is None else total)] if missing is None else missing
        self._gaps = [Piece(at, end) for at, end in sorted(spans) if at < end]

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, if known."""
        return self._total

    @property
    def done(self) -> int:
        """Fetched bytes."""
        with self._lock:
            if self._total is None:
                return self._gaps[0].at if self._gaps else 0
            return self._total - sum(gap.missing for gap in self._gaps)

    @property
    def missing(self) -> int:
        """Missing bytes, as far as is known."""
        with self._lock:
            return 0 if self._total is None else sum(gap.missing for gap in self._gaps)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        with self._lock:
            return not self._gaps

    @property
    def frontier(self) -> int:
        """The offset up to which there is no gap."""
        with self._lock:
            return self._gaps[0].at if self._gaps else self._total or 0

    def gaps(self) -> list[tuple[int, int]]:
        """The missing spans, in order."""
        with self._lock:
            return [(gap.at, gap.end) for gap in self._gaps]

    def take(self, chunk: int | None = None) -> Piece | None:
        """The first free gap; None if there is nothing to do.

        With `chunk`, about that many bytes of it, so that bytes arrive roughly in order. If every
        gap is taken, a part of the largest: what follows its next chunk, or at the end of a file
        its second half. The same for the first gap, if it is far behind.
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

    def extend(self, piece: Piece, reach: int) -> bool:
        """Extend a filled piece by the free gap after it, up to `reach`; whether it was extended.

        So the rest of the current response can be used.
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
        """A part of a taken gap, if it is large enough."""
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
        """Note that `count` bytes were written at `piece.at`; its end may have moved meanwhile."""
        with self._lock:
            piece.at = min(piece.at + count, piece.end)
            if piece.at == piece.end and piece in self._gaps:
                self._gaps.remove(piece)

    def release(self, piece: Piece) -> None:
        """Free the rest of a piece for other readers."""
        with self._lock:
            piece.taken = False

    def set_end(self, piece: Piece) -> None:
        """Set the length of a file of unknown length: it ends at `piece.at`."""
        with self._lock:
            self._total = piece.at
            self._gaps.clear()
