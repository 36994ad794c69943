"""Draws lines with dots: 2 by 4 dots per cell in braille, one dot per cell in ASCII."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

Dot = tuple[int, int]
"""Column and row, from the top left."""

_BRAILLE: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_ON, _PERIOD = 3, 6


@dataclass(frozen=True)
class Grid:
    """A grid of cells; each cell has `across` by `down` dots."""

    width: int
    height: int
    across: int = 2
    down: int = 4

    @property
    def columns(self) -> int:
        """Dots from left to right."""
        return self.width * self.across

    @property
    def rows(self) -> int:
        """Dots from top to bottom."""
        return self.height * self.down


@dataclass
class Layer:
    """The dots of one line, as one braille mask per cell in reading order."""

    grid: Grid
    masks: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.masks = [0] * (self.grid.width * self.grid.height)

    def draw(self, dots: Sequence[Dot], *, dashed: bool = False) -> None:
        """Draw straight lines between the dots, clipped to the grid; one dot alone is drawn too."""
        if not dots:
            return
        self._set(*dots[0])
        travelled = 0
        for start, end in pairwise(_simplified(dots)):
            for step, column, row in _between(start, end, self.grid.columns):
                if not dashed or (travelled + step) % _PERIOD < _ON:
                    self._set(column, row)
            travelled += _distance(start, end)

    def character(self, cell: int, ascii_mark: str | None = None) -> str | None:
        """The character of a cell: braille, or `ascii_mark` if given; None if the cell is empty."""
        mask = self.masks[cell]
        if not mask:
            return None
        return ascii_mark or chr(0x2800 | mask)

    def _set(self, column: int, row: int) -> None:
        grid = self.grid
        if 0 <= column < grid.columns and 0 <= row < grid.rows:
            cell = (row // grid.down) * grid.width + column // grid.across
            self.masks[cell] |= _BRAILLE[row % grid.down][column % grid.across]


def _simplified(dots: Sequence[Dot]) -> list[Dot]:
    """Remove dots that do not change the line: keep first, extremes and last of a column."""
    kept: list[Dot] = []
    for column, run in groupby(dots, key=itemgetter(0)):
        rows = [row for _, row in run]
        if len(rows) <= 4:
            kept += [(column, row) for row in rows]
        else:
            kept += [(column, row) for row in (rows[0], min(rows), max(rows), rows[-1])]
    return kept


def _distance(start: Dot, end: Dot) -> int:
    return max(abs(end[0] - start[0]), abs(end[1] - start[1]))


def _between(start: Dot, end: Dot, columns: int) -> Iterator[tuple[int, int, int]]:
    """The dots after `start` up to `end`: number of steps, column and row.

    Dots left or right of the grid are skipped.
    """
    across, down = end[0] - start[0], end[1] - start[1]
    steps = _distance(start, end)
    first, last = 1, steps
    if across:
        entry, leave = sorted((edge - start[0]) * steps / across for edge in (-1, columns))
        first, last = max(first, math.floor(entry)), min(last, math.ceil(leave))
    for step in range(first, last + 1):
        yield (
            step,
            start[0] + round(across * step / steps),
            start[1] + round(down * step / steps),
        )
