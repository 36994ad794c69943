"""Draws points in two dimensions into rows of text, with axes and a legend. Pure functions.

Braille dots; blocks where so many points share cells that dots would be a solid area; letters where
a third column tells groups apart, so that colour never carries meaning alone. ASCII has characters
by the number of points. Every point is drawn where it is: nothing is moved aside.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from typing import Final, NamedTuple

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.reports import LETTERS
from lora_tui.widgets.cells import fit, fit_ends
from lora_tui.widgets.charts.axes import NEAR_ZERO, Ticks, linear_ticks, log_ticks
from lora_tui.widgets.charts.plot_frame import (
    Grid,
    Layer,
    PlotFrame,
    PlotLayer,
    Scale,
    crossed_rows,
    left_of,
    loss_range,
    ticks_down,
)
from lora_tui.widgets.styled_lines import Line, Span

MIN_WIDTH: Final = 30
MIN_HEIGHT: Final = 8
SEVERAL: Final = "+"
"""A cell with points of several groups."""
SELECTED: Final = ("◉", "X")
"""The cell of the crosshair; the second one for ASCII."""
_DENSE: Final = 6
"""Points a cell from which dots would be a solid area."""
_FEW: Final = 500
"""Up to so many points, each is drawn with four dots."""
_LEVELS: Final = ("░▒▓█", ".oO@")
_SHADES: Final = ("axis", "raw", "training", "strong")
_LARGEST: Final = 1e150
"""Larger numbers are drawn at this one, so that differences of two are numbers too."""
_TICK_CELLS: Final = 12
_LEAST_NAME: Final = 6
"""Cells of a text below its column, and of the gap after it."""
_FEW_VALUES: Final = 12
"""Values across that are ticks themselves."""
_MOST_SEARCHED: Final = 20_000
"""Of more points the values are not counted."""
_LABELS: Final = (18, 10, 5)
"""Cells of a group's label in the legend; fewer where it would need too many lines."""


class Axis(NamedTuple):
    """One direction of the plot."""

    label: str
    text: Callable[[float], str]
    is_log: bool = False
    names: tuple[str, ...] = ()
    """Texts instead of numbers: a point's value is the place of its text."""
    has_own_ticks: bool = False
    """Whether ticks are written by `text`, as those of dates and sizes."""


class _Entry(NamedTuple):
    """An entry of the legend."""

    sign: str
    style: str
    label: str
    after: str = ""
    """What is never cut."""


class Points(NamedTuple):
    """What is drawn."""

    xs: Sequence[float]
    ys: Sequence[float]
    """Finite."""
    groups: Sequence[int] | None = None
    """The group of each point, from 0."""
    group_labels: tuple[str, ...] = ()
    """At most one more than there are letters; the last one is then of the others."""


@dataclass(frozen=True)
class Placed:
    """Points as shares of the ranges of two axes, which need no computing when a size changes."""

    points: Points
    x: Axis
    y: Axis
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    shown: Sequence[int]
    """The points that the axes can show."""
    across: Sequence[float]
    up: Sequence[float]
    """0 to 1, of each shown point."""

    @property
    def hidden(self) -> int:
        """Points of 0 or less, which a logarithmic axis can't show."""
        return len(self.points.xs) - len(self.shown)


@dataclass(frozen=True)
class Scatter:
    """A drawn plot."""

    legend: tuple[Line, ...]
    rows: tuple[tuple[Span, ...], ...]
    """Below the legend; each as wide as requested."""
    left: int
    """The first cell of the plot, right of the axis."""
    width: int
    height: int
    """Cells of the plot itself."""
    cells: Sequence[int]
    """Of each shown point its cell, in reading order from the top left."""
    placed: Placed

    @cached_property
    def points_in(self) -> Mapping[int, Sequence[int]]:
        """Cell → its points, in their order."""
        found: dict[int, list[int]] = defaultdict(list)
        for point, cell in zip(self.placed.shown, self.cells, strict=True):
            found[cell].append(point)
        return found

    def cell_of(self, point: int) -> int | None:
        """The cell of a point; None where it is not shown."""
        return self._cell_of.get(point)

    @cached_property
    def _cell_of(self) -> Mapping[int, int]:
        return dict(zip(self.placed.shown, self.cells, strict=True))

    def nearest(self, column: int, row: int) -> int | None:
        """The cell with points that is nearest to a cell of the plot."""
        return min(
            self.points_in,
            key=lambda cell: (
                (cell % self.width - column) ** 2 + 4 * (cell // self.width - row) ** 2
            ),  # a cell is twice as high as wide
            default=None,
        )

    def next_cell(self, cell: int | None, right: int, down: int) -> int | None:
        """The nearest cell with points in a direction; from outside the first one there.

        Those within 45 degrees come first. None where there is none.
        """

        def ahead(other: int) -> tuple[float, float]:
            """How far in the direction, and aside."""
            across = other % self.width - (cell or 0) % self.width
            along = 2 * (other // self.width - (cell or 0) // self.width)
            return (across * right + along * down, abs(across * down) + abs(along * right))

        if cell is None:
            return min(self.points_in, key=lambda other: ahead(other)[0], default=None)
        found = {other: ahead(other) for other in self.points_in}
        found = {other: way for other, way in found.items() if way[0] > 0}
        inside = {other: way for other, way in found.items() if way[1] <= way[0]}
        chosen = inside or found
        return min(chosen, key=lambda other: chosen[other][0] + 2 * chosen[other][1], default=None)


def place(points: Points, x: Axis, y: Axis) -> Placed:
    """Scale points to the axes; an axis without positive values is not logarithmic."""
    x, y = _usable(x, points.xs), _usable(y, points.ys)
    shown: Sequence[int] = range(len(points.xs))
    if x.is_log or y.is_log:
        shown = [
            number
            for number, (a, b) in enumerate(zip(points.xs, points.ys, strict=True))
            if (a > NEAR_ZERO or not x.is_log) and (b > NEAR_ZERO or not y.is_log)
        ]
    xs, ys = _clipped(points.xs, shown), _clipped(points.ys, shown)
    x_range = _range(xs, x)
    y_range = _range(ys, y)
    return Placed(
        points, x, y, x_range, y_range, shown, _shares(xs, x, x_range), _shares(ys, y, y_range)
    )


def draw_scatter(placed: Placed, width: int, height: int, *, ascii_only: bool = False) -> Scatter:
    """Draw into `width` by `height` cells, the legend included.

    Blank in less than `MIN_WIDTH` by `MIN_HEIGHT`, and without a point to show. Styles of the
    spans: axis, grid, label, heading, muted, raw, training, strong, crosshair, series0 to series5.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT or not placed.shown:
        blank: tuple[Span, ...] = ((" " * max(0, width), "label"),)
        return Scatter((), (blank,) * max(0, height), 0, width, 1, (), replace(placed, shown=()))
    legend: tuple[Line, ...] = ((),)
    while True:  # the legend's lines depend on the levels, and these on the cells that are left
        frame = _frame(placed, width, height - len(legend), ascii_only=ascii_only)
        columns, rows = frame.grid.columns, frame.grid.rows
        dots = [round(share * (columns - 1)) for share in placed.across]
        downs = [rows - 1 - round(share * (rows - 1)) for share in placed.up]
        grid = frame.grid
        cells = [
            (down // grid.down) * grid.width + dot // grid.across
            for dot, down in zip(dots, downs, strict=True)
        ]
        layers, entries = _layers(placed, grid, dots, downs, cells, ascii_only=ascii_only)
        most = max(2, height // 6)
        made = _legend(placed, entries, width, most, ascii_only=ascii_only)
        if len(made) <= len(legend):
            legend = (*made, *((),) * (len(legend) - len(made)))
            break
        legend = made
    bottom = _bottom_ticks(placed, frame.across, grid.width, ascii_only=ascii_only)
    return Scatter(
        legend,
        frame.draw(layers, bottom),
        frame.left,
        grid.width,
        rows // grid.down,
        cells,
        placed,
    )


def with_crosshair(
    plot: Scatter, cell: int, *, ascii_only: bool = False
) -> tuple[tuple[Span, ...], ...]:
    """The rows with a vertical line through a cell, and a mark in it."""
    column, row = cell % plot.width, cell // plot.width
    rows = list(crossed_rows(plot.rows, plot.left + column, ascii_only=ascii_only))
    at = plot.left + column
    before: list[Span] = []
    after: list[Span] = []
    passed = 0
    for text, style in rows[row]:
        before.append((text[: max(0, at - passed)], style))
        after.append((text[max(0, at + 1 - passed) :], style))
        passed += len(text)
    rows[row] = (
        *(span for span in before if span[0]),
        (SELECTED[ascii_only], "strong"),
        *(span for span in after if span[0]),
    )
    return tuple(rows)


def group_sign(number: int, labels: Sequence[str]) -> str:
    """The letter of a group; a dot for the others."""
    return LETTERS[number] if number < min(len(LETTERS), len(labels)) else "."


def _usable(axis: Axis, values: Sequence[float]) -> Axis:
    can = not axis.names and any(value > NEAR_ZERO for value in values)
    return axis if can or not axis.is_log else axis._replace(is_log=False)


def _clipped(values: Sequence[float], shown: Sequence[int]) -> list[float]:
    return [max(-_LARGEST, min(_LARGEST, values[number])) for number in shown]


def _range(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    if axis.names:
        return -0.5, len(axis.names) - 0.5
    return loss_range(values, axis.is_log) if values else (0.0, 1.0)


def _shares(values: Sequence[float], axis: Axis, ends: tuple[float, float]) -> list[float]:
    if not values:
        return []
    low, high = ends
    if axis.is_log:
        low, high = math.log10(low), math.log10(high)
        values = list(map(math.log10, values))
    span = high - low
    return [min(1.0, max(0.0, (value - low) / span)) for value in values]


def _frame(placed: Placed, width: int, height: int, *, ascii_only: bool) -> PlotFrame:
    y, rows = placed.y, height - 2
    ticks = _labelled(ticks_down(placed.y_range, rows, is_log=y.is_log), y)
    left = left_of(ticks)
    grid = Grid(width - left, rows, *((1, 1) if ascii_only else (2, 4)))
    down = Scale(*placed.y_range, grid.rows, is_log=y.is_log)
    across = Scale(*placed.x_range, grid.columns, is_log=placed.x.is_log)
    labels = {
        rows - 1 - down.dot(value) // grid.down: label
        for value, label in zip(ticks.values, ticks.labels, strict=True)
    }
    return PlotFrame(grid, across, down, labels, left, ascii_only)


def _labelled(ticks: Ticks, axis: Axis) -> Ticks:
    if not axis.has_own_ticks:
        return ticks
    return Ticks(ticks.values, tuple(axis.text(value) for value in ticks.values))


def _bottom_ticks(placed: Placed, across: Scale, width: int, *, ascii_only: bool) -> Ticks:
    """The texts of the axis; the values themselves where there are few of them; else round ones."""
    axis = placed.x
    if axis.names:
        stride = -(-len(axis.names) * _LEAST_NAME // width)  # of very many only some have room
        places = range(0, len(axis.names), stride)
        room = max(_LEAST_NAME, width * stride // len(axis.names)) - 2
        labels = [
            fit_ends(name, min(room, cell_len(name)), ascii_only=ascii_only)
            for name in (axis.names[place] for place in places)
        ]
        # a wide character would shift all labels right of it
        narrow = [label if cell_len(label) == len(label) else "?" for label in labels]
        return Ticks(tuple(map(float, places)), tuple(narrow))
    values = sorted(set(islice(placed.points.xs, _MOST_SEARCHED)))
    if len(placed.points.xs) <= _MOST_SEARCHED and len(values) <= _FEW_VALUES:
        values = [value for value in values if across.low <= value <= across.high]
        if not _are_crowded(values, across, axis, width):
            return Ticks(tuple(values), tuple(map(axis.text, values)))
    most = max(2, width // _TICK_CELLS)
    ticks = log_ticks if axis.is_log else linear_ticks
    return _labelled(ticks(across.low, across.high, most), axis)


def _are_crowded(values: Sequence[float], across: Scale, axis: Axis, width: int) -> bool:
    """Whether labels at these values would cover each other."""
    ends = [
        (across.dot(value) * width / across.dots, cell_len(axis.text(value)) + 2)
        for value in values
    ]
    return any(b[0] - a[0] < (a[1] + b[1]) / 2 for a, b in pairwise(ends))


def _layers(
    placed: Placed,
    grid: Grid,
    dots: Sequence[int],
    downs: Sequence[int],
    cells: Sequence[int],
    *,
    ascii_only: bool,
) -> tuple[list[PlotLayer], list[_Entry]]:
    """What is drawn, and the entries of the legend that explain it."""
    points = placed.points
    if points.groups is not None and points.group_labels:
        groups = points.groups
        chosen = [groups[number] for number in placed.shown]
        return _letters(grid, cells, chosen, points.group_labels)
    counts = Counter(cells)
    if ascii_only or len(cells) >= _DENSE * len(counts):
        return _shaded(grid, counts, ascii_only=ascii_only)
    layer = Layer(grid)
    for dot, down in set(zip(dots, downs, strict=True)):
        layer.draw([(dot, down)])
        if len(cells) <= _FEW:  # one dot alone is hard to see: a quarter of the cell
            layer.draw([(dot ^ 1, down), (dot, down)])
            layer.draw([(dot ^ 1, down ^ 1), (dot, down ^ 1)])
    return [(layer, "training", None)], []


def _letters(
    grid: Grid,
    cells: Sequence[int],
    groups: Sequence[int],
    labels: Sequence[str],
) -> tuple[list[PlotLayer], list[_Entry]]:
    in_cell: dict[int, int] = {}
    several = len(labels)
    for cell, group in zip(cells, groups, strict=True):
        if in_cell.setdefault(cell, group) != group:
            in_cell[cell] = several
    counts = Counter(groups)
    layers: list[PlotLayer] = []
    entries: list[_Entry] = []
    for number, label in enumerate((*labels, "several")):
        chosen = [cell for cell, group in in_cell.items() if group == number]
        is_mixed = number == several
        sign = SEVERAL if is_mixed else group_sign(number, labels)
        style = "strong" if is_mixed or number >= len(LETTERS) else f"series{number}"
        if chosen:
            layers.append((_marked(grid, chosen), style, sign))
        if is_mixed:
            entries += [_Entry(sign, style, label)] if chosen else []
        elif counts[number]:
            entries.append(_Entry(sign, style, label, f" {counts[number]:,}"))
    return layers, entries


def _shaded(
    grid: Grid, counts: Mapping[int, int], *, ascii_only: bool
) -> tuple[list[PlotLayer], list[_Entry]]:
    """Four shades by the number of points in a cell, in equal steps of its logarithm."""
    most = max(counts.values())
    signs = _LEVELS[ascii_only]
    firsts = sorted({round(most ** (level / len(signs))) for level in range(len(signs))})
    layers: list[PlotLayer] = []
    entries: list[_Entry] = []
    for level, first in enumerate(firsts):
        last = firsts[level + 1] - 1 if level + 1 < len(firsts) else most
        chosen = [cell for cell, count in counts.items() if first <= count <= last]
        if chosen:
            layers.append((_marked(grid, chosen), _SHADES[level], signs[level]))
            span = f"{first:,}" if last == first else f"{first:,}-{last:,}"
            entries.append(_Entry(signs[level], _SHADES[level], "", span))
    if most == 1:
        return layers, []
    return layers, [_Entry("", "muted", "", "models a cell:"), *entries]


def _marked(grid: Grid, cells: Iterable[int]) -> Layer:
    layer = Layer(grid)
    for cell in cells:
        layer.masks[cell] = 1
    return layer


def _legend(
    placed: Placed, entries: Sequence[_Entry], width: int, most: int, *, ascii_only: bool
) -> tuple[Line, ...]:
    """What the axes show, then the entries, on at most so many lines."""
    y, x = (f"{axis.label} (log)" if axis.is_log else axis.label for axis in (placed.y, placed.x))
    title = fit(f"{y} by {x}", min(width, cell_len(f"{y} by {x}")), ascii_only=ascii_only)
    extra = [*entries]
    if placed.hidden:
        text = f"{formats.count(placed.hidden)} of 0 or less not shown"
        extra.append(_Entry("", "muted", "", text))
    lines: list[list[Span]] = []
    for label in _LABELS:
        lines = [[(title, "heading")]]
        for entry in extra:
            _add(lines, _spans(entry, label, ascii_only=ascii_only), width)
        if len(lines) <= most:
            break
    if len(lines) > most:  # the line of the crosshair's point names its group
        rest = " ..." if ascii_only else " …"
        while sum(cell_len(text) for text, _ in lines[most - 1]) + len(rest) > width:
            lines[most - 1].pop()
        lines[most - 1].append((rest, "muted"))
    return tuple(tuple(line) for line in lines[:most])


def _spans(entry: _Entry, most: int, *, ascii_only: bool) -> list[Span]:
    label = fit_ends(entry.label, min(most, cell_len(entry.label)), ascii_only=ascii_only).rstrip()
    text = f"{label}{entry.after}"
    return [(entry.sign, entry.style), (f" {text}" if entry.sign else text, "muted")]


def _add(lines: list[list[Span]], spans: Sequence[Span], width: int) -> None:
    """Add to the last line, or to a new one where that is full."""
    used = sum(cell_len(text) for text, _ in lines[-1])
    needed = sum(cell_len(text) for text, _ in spans)
    if used and used + 2 + needed > width:
        lines.append([])
    elif used:
        lines[-1].append(("  ", "muted"))
    room = width
    for text, style in spans:
        shown = text if cell_len(text) <= room else fit(text, max(0, room))
        lines[-1].append((shown, style))
        room -= cell_len(shown)
