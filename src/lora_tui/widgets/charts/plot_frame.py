"""Draws axes, rows and crosshair of a plot, scales values to dots, draws lines with them.

A cell has 2 by 4 dots in braille, one dot in ASCII. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

from lora_tui import formats
from lora_tui.widgets.charts.axes import (
    MIN_SPAN,
    NEAR_ZERO,
    Ticks,
    linear_ticks,
    log_ticks,
    padded_range,
    time_ticks,
)
from lora_tui.widgets.styled_lines import Span

_TICK_CELLS: Final = 11
_ROOM_OF_ONE: Final = 1.2
"""The factor by which a logarithmic axis extends beyond a single value."""
_GRID_LINE: Final = "┈"
_BEYOND: Final = 8
"""How many times its size an open scale continues beyond its ends."""


BELOW_AXIS: Final = ("▼", "v")
"""The mark at the bottom of a logarithmic plot for a loss of zero or less; also in ASCII."""
Dot = tuple[int, int]
"""Column and row, from the top left."""

_BRAILLE: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_ON, _PERIOD = 3, 6


def line_segments(
    xs: Sequence[float],
    losses: Sequence[float | None],
    breaks: Sequence[bool],
    across: Scale,
    down: Scale,
) -> tuple[list[list[Dot]], list[Dot]]:
    """The lines through the losses, and marks for losses that a logarithmic axis can't show.

    A line ends at such a loss, and before a point for which `breaks` is true. Points whose loss is
    None are skipped.
    """
    lines: list[list[Dot]] = [[]]
    feet: list[Dot] = []
    for x, loss, is_broken in zip(xs, losses, breaks, strict=True):
        if is_broken and lines[-1]:
            lines.append([])
        if loss is None:
            continue
        if down.is_log and loss <= NEAR_ZERO:
            feet.append((across.dot(x), down.dots - 1))
            lines.append([])
        else:
            lines[-1].append((across.dot(x), down.dots - 1 - down.dot(loss)))
    return [line for line in lines if line], feet


@dataclass(frozen=True)
class Scale:
    """Converts values to dots; `low` is dot 0."""

    low: float
    high: float
    dots: int
    is_log: bool = False
    is_open: bool = False
    """Whether values beyond an end stay beyond it, so that lines continue to the edge."""

    def dot(self, value: float) -> int:
        """The dot nearest to a value; values beyond an end are clamped unless it is open."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        share = (value - low) / (high - low)
        beyond = _BEYOND if self.is_open else 0
        dots = min(1.0 + beyond, max(0.0 - beyond, share)) * (self.dots - 1)
        return round(round(dots, 6))  # avoids rounding errors between two dots


def step_range(steps: Sequence[float]) -> tuple[float, float]:
    """From the first to the last step; from 0 if the run starts shortly after it."""
    low, high = padded_range(steps)
    return (0.0, high) if 0 < low <= high / 20 else (low, high)


def loss_range(losses: Sequence[float], is_log: bool) -> tuple[float, float]:
    """The range of the losses with a margin; with `is_log` all losses must be positive."""
    if not is_log:
        return padded_range(losses, margin=0.03)
    low, high = min(losses), max(losses)
    if high <= low * (1 + MIN_SPAN):  # one value with rounding errors
        return low / _ROOM_OF_ONE, high * _ROOM_OF_ONE
    low, high = padded_range([math.log10(low), math.log10(high)], margin=0.03)
    return 10**low, 10**high


def log_losses(drawn: Sequence[float], logged: Sequence[float]) -> list[float]:
    """The drawn losses that a logarithmic axis must cover.

    Losses below the smallest positive logged one are excluded: a mean of positive and negative
    losses may be arbitrarily close to zero.
    """
    positive = [loss for loss in logged if loss > NEAR_ZERO]
    least = min(positive)
    return [loss for loss in drawn if loss >= least] or positive


@dataclass(frozen=True)
class PlotFrame:
    """The size and axes of a plot, into which layers are drawn."""

    grid: Grid
    across: Scale
    down: Scale
    labels: Mapping[int, str]
    """Row of the plot → label of the loss axis."""
    left: int
    """The first cell of the plot, right of the loss axis."""
    ascii_only: bool

    @classmethod
    def of(
        cls,
        width: int,
        height: int,
        steps: tuple[float, float],
        losses: tuple[float, float],
        *,
        is_log: bool,
        is_open: bool,
        ascii_only: bool,
        least_left: int = 0,
    ) -> PlotFrame:
        """A frame of `width` by `height` cells for these ranges; `is_open` see `Scale`.

        `least_left`: the plot begins no further left, so that several are aligned.
        """
        rows = height - 2
        ticks = ticks_down(losses, rows, is_log=is_log)
        left = max(least_left, left_of(ticks))
        grid = Grid(width - left, rows, *((1, 1) if ascii_only else (2, 4)))
        across = Scale(*steps, grid.columns, is_open=is_open)
        down = Scale(*losses, grid.rows, is_log=is_log, is_open=is_open)
        labels = {
            rows - 1 - down.dot(value) // grid.down: label
            for value, label in zip(ticks.values, ticks.labels, strict=True)
        }
        return cls(grid, across, down, labels, left, ascii_only)

    def draw(
        self, layers: Sequence[PlotLayer], bottom: Ticks, backdrop: PlotLayer | None = None
    ) -> tuple[tuple[Span, ...], ...]:
        """All rows; the first layer is on top, `backdrop` in cells without other layers."""
        rows = self.grid.rows // self.grid.down
        return (
            *(self._row(row, layers, backdrop) for row in range(rows)),
            *self._bottom_axis(bottom),
        )

    def _row(
        self, row: int, layers: Sequence[PlotLayer], backdrop: PlotLayer | None
    ) -> tuple[Span, ...]:
        """One row with its part of the loss axis.

        Where several lines of dots share a cell, all dots are drawn in the style of the top one.
        """
        label = self.labels.get(row)
        plain, ticked = ("|", "+") if self.ascii_only else ("│", "┤")
        blank = _GRID_LINE if label and not self.ascii_only else " "
        cells: list[Span] = []
        for cell in range(row * self.grid.width, (row + 1) * self.grid.width):
            top = next((layer for layer in layers if layer[0].masks[cell]), None)
            if top is None:
                character = backdrop[0].character(cell, backdrop[2]) if backdrop else None
                if backdrop is None or character is None:
                    cells.append((blank, "grid"))
                else:
                    cells.append((character, backdrop[1]))
            elif top[2] is not None:
                cells.append((top[2], top[1]))
            else:
                mask = 0
                for layer, _, letter in layers:
                    mask |= 0 if letter else layer.masks[cell]
                cells.append((chr(0x2800 | mask), top[1]))
        return (
            (f"{label or '':>{self.left - 2}} ", "label"),
            (ticked if label else plain, "axis"),
            *_merged(cells),
        )

    def _bottom_axis(self, ticks: Ticks) -> list[tuple[Span, ...]]:
        """The two rows below the plot: the axis and the labels of its ticks."""
        corner, line, tick = ("+", "-", "+") if self.ascii_only else ("└", "─", "┬")
        axis = [line] * self.grid.width
        labels = [" "] * (self.left + self.grid.width)
        free_from = 0
        for value, label in zip(ticks.values, ticks.labels, strict=True):
            cell = self.across.dot(value) // self.grid.across
            middle = self.left + cell
            start = min(max(0, middle - len(label) // 2), len(labels) - len(label))
            if start < free_from:
                continue
            axis[cell] = tick
            labels[start : start + len(label)] = label
            free_from = start + len(label) + 2
        return [
            ((" " * (self.left - 1), "label"), (corner + "".join(axis), "axis")),
            (("".join(labels), "label"),),
        ]


def ticks_down(losses: tuple[float, float], rows: int, *, is_log: bool) -> Ticks:
    """Ticks of the loss axis of a plot that is so many rows high."""
    most = max(2, min(rows // 2, 3 + rows // 4))
    return (log_ticks if is_log else linear_ticks)(*losses, most)


def left_of(ticks: Ticks) -> int:
    """The first cell of a plot whose loss axis has these ticks."""
    return max(len(label) for label in ticks.labels) + 2


def ticks_across(
    steps: Sequence[float], across: Scale, width: int, *, over_time: bool = False
) -> Ticks:
    """Ticks of the x axis at round steps or times; a single point has its own tick."""
    first = steps[0]
    if across.low <= first <= across.high and all(step == first for step in steps):
        return Ticks((first,), (formats.step(first),))
    ticks = time_ticks if over_time else linear_ticks
    return ticks(across.low, across.high, max(2, width // _TICK_CELLS))


def crossed_rows(
    rows: Sequence[tuple[Span, ...]], column: int, *, ascii_only: bool
) -> tuple[tuple[Span, ...], ...]:
    """The rows with a vertical line in a column, behind the curves."""
    upright, foot = (":", "+") if ascii_only else ("│", "┴")
    crossed = []
    last = len(rows) - 2
    for number, row in enumerate(rows):
        if number > last:
            crossed.append(row)
        elif number == last:
            crossed.append(_replaced(row, column, foot, "crosshair", only_blank=False))
        else:
            crossed.append(_replaced(row, column, upright, "crosshair", only_blank=True))
    return tuple(crossed)


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


PlotLayer = tuple[Layer, str, str | None]
"""A line, its style, and the character that draws it instead of dots, or None."""


def _replaced(
    row: tuple[Span, ...], column: int, character: str, style: str, *, only_blank: bool
) -> tuple[Span, ...]:
    cells = [(character_, name) for text, name in row for character_ in text]
    if not only_blank or cells[column][0] in (" ", _GRID_LINE):
        cells[column] = (character, style)
    return tuple(_merged(cells))


def _merged(cells: Sequence[Span]) -> list[Span]:
    """Merge neighbouring cells of one style into spans."""
    spans: list[Span] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index][1] != cells[start][1]:
            spans.append(("".join(text for text, _ in cells[start:index]), cells[start][1]))
            start = index
    return spans


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
