"""Draws several curves over one another, each with its letter on it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lora_tui.series import Series
from lora_tui.widgets.axes import TINY, linear_ticks, log_ticks
from lora_tui.widgets.canvas import Dot, Grid, Layer
from lora_tui.widgets.curve_plot import LEAST_HEIGHT, LEAST_WIDTH, PlotStyle
from lora_tui.widgets.plot_frame import (
    PlotLayer,
    Scale,
    bottom_axis,
    loss_range,
    plot_row,
    step_range,
    ticks_across,
)
from lora_tui.widgets.stars import Span

Curve = Sequence[tuple[float, float]]
"""(step, loss), finite."""

_LETTER_EVERY: Final = 30
"""Cells between the letters on a curve."""


@dataclass(frozen=True)
class Overlay:
    """`height` rows of spans, each exactly `width` cells."""

    rows: tuple[tuple[Span, ...], ...]
    is_log: bool
    """Whether the losses could be drawn on a logarithmic axis."""
    is_drawn: bool = True
    """Whether there was anything to draw."""


def curve_of(
    series: Series, *, validation: bool, smoothing: bool, shares: bool, buckets: int
) -> Curve:
    """What is drawn of a run: its training losses, or its validation losses as a curve of its own.

    With `shares` over percent of its run, so that runs of any length lie over one another.
    Validation losses are few and mean something each: they are never smoothed.
    """
    if not len(series):
        return ()
    numbers = series.picked(range(len(series)), buckets)
    if validation:
        losses = [(p.step, p.validation_loss) for p in series.points(numbers)]
        curve = [(step, loss) for step, loss in losses if loss is not None]
    else:
        column = series.smoothed if smoothing else series.training
        curve = [(series.steps[number], column[number]) for number in numbers]
    if not shares:
        return curve
    first, last = series.steps[0], series.steps[-1]
    length = last - first or 1.0
    return [((step - first) / length * 100, loss) for step, loss in curve]


def draw_overlay(
    curves: Sequence[Curve],
    letters: str,
    width: int,
    height: int,
    style: PlotStyle,
) -> Overlay:
    """Draw curves into `width` by `height` cells; of the style, smoothing is up to `curve_of`.

    With nothing to draw or too little room the rows are blank. Styles of the spans: axis, grid,
    label, and for each curve in order series0, series1, …
    """
    steps = [step for curve in curves for step, _ in curve]
    if not steps or width < LEAST_WIDTH or height < LEAST_HEIGHT:
        blank = ((" " * max(0, width), "label"),)
        return Overlay((blank,) * max(0, height), is_log=False, is_drawn=bool(steps))
    losses = [loss for curve in curves for _, loss in curve]
    is_log = style.log_scale and max(losses) > TINY
    low, high = loss_range([x for x in losses if not is_log or x > TINY], is_log)
    rows = height - 2
    most = max(2, min(rows // 2, 3 + rows // 4))
    ticks = (log_ticks if is_log else linear_ticks)(low, high, most)
    gutter = max(len(label) for label in ticks.labels) + 1
    grid = Grid(width - gutter - 1, rows, *((1, 1) if style.ascii_only else (2, 4)))
    across = Scale(*step_range(steps), grid.columns)
    down = Scale(low, high, grid.rows, is_log=is_log)
    layers: list[PlotLayer] = []
    lettered = _Letters(grid)
    for number, curve in enumerate(curves):
        dots = [
            (across.dot(step), grid.rows - 1 - down.dot(loss))
            for step, loss in curve
            if not (is_log and loss <= TINY)
        ]
        layer, letter = Layer(grid), letters[number]
        layer.draw(dots)
        layers.append((layer, f"series{number}", letter if style.ascii_only else None))
        lettered.put(dots, number, len(curves))
    tops: list[PlotLayer] = [
        (lettered.of(number), f"series{number}", letters[number]) for number in range(len(curves))
    ]
    marks = {
        grid.rows // grid.down - 1 - down.dot(value) // grid.down: label
        for value, label in zip(ticks.values, ticks.labels, strict=True)
    }
    drawn = [
        plot_row(row, grid, [*tops, *layers], marks.get(row), gutter, ascii_only=style.ascii_only)
        for row in range(rows)
    ]
    below = ticks_across(steps, across, grid.width)
    drawn += bottom_axis(below, grid, across, gutter, ascii_only=style.ascii_only)
    return Overlay(tuple(drawn), is_log)


@dataclass
class _Letters:
    """Where the letters of the curves stand: on their curve, staggered, never on one another."""

    grid: Grid
    cells: dict[int, int] = field(default_factory=dict)
    """Cell in reading order → number of the curve."""

    def put(self, dots: Sequence[Dot], number: int, total: int) -> None:
        """Put the letter of one curve at even distances, and where the curve ends."""
        if not dots:
            return
        heights = {column // self.grid.across: row // self.grid.down for column, row in dots}
        ends = max(heights)
        offset = _LETTER_EVERY * (2 * number + 1) // (2 * total)
        for column in (*range(offset, ends, _LETTER_EVERY), ends):
            near = min(heights, key=lambda cell: abs(cell - column))
            self.cells.setdefault(heights[near] * self.grid.width + near, number)

    def of(self, number: int) -> Layer:
        """The letters of one curve as a layer of its own."""
        layer = Layer(self.grid)
        for cell, owner in self.cells.items():
            if owner == number:
                layer.masks[cell] = 1
        return layer
