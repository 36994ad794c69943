"""Draws several loss curves into one plot, each with its letter. Pure functions."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lora_tui.curves.series import Series, Smoothing
from lora_tui.widgets.charts.axes import NEAR_ZERO
from lora_tui.widgets.charts.canvas import Dot, Grid, Layer
from lora_tui.widgets.charts.curve_plot import MIN_PLOT_HEIGHT, MIN_PLOT_WIDTH, PlotStyle, Window
from lora_tui.widgets.charts.plot_frame import (
    BELOW_AXIS,
    PlotFrame,
    PlotLayer,
    line_segments,
    log_losses,
    loss_range,
    step_range,
    ticks_across,
)
from lora_tui.widgets.styled_lines import Span

Curve = Sequence[tuple[float, float]]
"""(step, loss) pairs; a loss of NaN is a gap in the line, everything else is finite."""

_LETTER_EVERY: Final = 30
"""Cells between two letters on a curve."""


@dataclass(frozen=True)
class Overlay:
    """The drawn curves; every row is exactly as wide as requested."""

    rows: tuple[tuple[Span, ...], ...]
    is_log: bool
    """Whether the loss axis is logarithmic."""
    has_hidden_points: bool = False
    """Whether there are losses that the axis can't show."""
    has_curve: bool = True
    """Whether there are points to draw."""
    left: int = 0
    """The first cell of the plot, right of the axis."""
    width: int = 0
    """Cells of the plot itself."""
    window: Window = (0.0, 1.0)
    """The range that the plot covers."""
    columns: Mapping[int, float] = field(default_factory=dict)
    """Cell of the plot → the largest x value of a point in it."""

    @cached_property
    def point_cells(self) -> Sequence[int]:
        """The cells that contain a point, ascending."""
        return sorted(self.columns)


def overlay_curve(
    series: Series,
    *,
    validation: bool,
    smoothing: Smoothing,
    by_percent: bool,
    buckets: int,
    window: Window | None = None,
) -> Curve:
    """The curve of a run: its training losses, or its validation losses without smoothing.

    With `by_percent` the x values are percent of the run, so that runs of different lengths can be
    compared. With a `window` only its points, and one beyond each end to continue the line.
    """
    if not len(series):
        return ()
    numbers: Sequence[int] = range(len(series))
    if window is not None:
        low, high = (step_at(series, at, by_percent=by_percent) for at in window)
        numbers = series.indices_in(low, high)
        if validation:
            numbers = _to_validated(series, numbers)
    numbers = series.decimate(numbers, buckets) if numbers else ()
    if validation:
        losses = [(p.step, p.validation_loss) for p in series.points(numbers)]
        curve = [(step, loss) for step, loss in losses if loss is not None]
    else:
        column = series.trend(smoothing)
        curve = []
        for place, number in enumerate(numbers):
            if place and series.has_gap_between(numbers[place - 1], number):
                curve.append((series.steps[number], math.nan))
            curve.append((series.steps[number], column[number]))
    if not by_percent:
        return curve
    first, last = series.steps[0], series.steps[-1]
    length = last - first or 1.0
    return [((step - first) / length * 100, loss) for step, loss in curve]


def step_at(series: Series, at: float, *, by_percent: bool) -> float:
    """Convert an x value of the chart into a step of the run."""
    if not by_percent:
        return at
    first, last = series.steps[0], series.steps[-1]
    return first + at / 100 * (last - first)


def draw_overlay(
    curves: Sequence[Curve],
    letters: str,
    width: int,
    height: int,
    style: PlotStyle,
    window: Window | None = None,
    front: int | None = None,
    logged: Sequence[Curve] = (),
) -> Overlay:
    """Draw curves, or their parts in `window`, into `width` by `height` cells.

    Of the style, smoothing is up to `overlay_curve`. The curve with index `front` is on top.
    Where curves are smoothed, `logged` are the same as logged: a logarithmic axis reaches no lower.

    Without points or in too little room the rows are blank. Styles of the spans: axis, grid,
    label, and for each curve in order series0, series1, …
    """
    steps = [step for curve in curves for step, _ in curve]
    if not steps or width < MIN_PLOT_WIDTH or height < MIN_PLOT_HEIGHT:
        blank = ((" " * max(0, width), "label"),)
        return Overlay((blank,) * max(0, height), is_log=False, has_curve=bool(steps))
    reach = window or step_range(steps)
    points = [point for curve in curves for point in curve if not math.isnan(point[1])]
    losses = _losses(curves, reach)
    losses_logged = _losses(logged or curves, reach)
    is_log = style.log_scale and max(losses_logged) > NEAR_ZERO
    low, high = loss_range(log_losses(losses, losses_logged) if is_log else losses, is_log)
    frame = PlotFrame.of(
        width,
        height,
        reach,
        (low, high),
        is_log=is_log,
        is_open=window is not None,
        ascii_only=style.ascii_only,
    )
    grid, across = frame.grid, frame.across
    columns: dict[int, float] = {}
    for step, _ in sorted(points):
        if reach[0] <= step <= reach[1]:
            columns[across.dot(step) // grid.across] = step
    layers: list[PlotLayer] = []
    lettered, feet = _Letters(grid), Layer(grid)
    for number, curve in enumerate(curves):
        runs, below = line_segments(
            [step for step, _ in curve],
            [None if math.isnan(loss) else loss for _, loss in curve],
            [math.isnan(loss) for _, loss in [(0.0, 0.0), *curve[:-1]][: len(curve)]],
            across,
            frame.down,
        )
        layer, letter = Layer(grid), letters[number]
        for dots in runs:
            layer.draw(dots)
        for dot in below:
            feet.draw([dot])
        layers.append((layer, f"series{number}", letter if style.ascii_only else None))
        lettered.put([dot for dots in runs for dot in dots], number, len(curves))
    if front is not None and front < len(layers):
        layers.insert(0, layers.pop(front))
    tops: list[PlotLayer] = [
        (lettered.of(number), f"series{number}", letters[number]) for number in range(len(curves))
    ]
    return Overlay(
        frame.draw(
            [*tops, (feet, "label", BELOW_AXIS[style.ascii_only]), *layers],
            ticks_across(steps, across, grid.width),
        ),
        is_log,
        has_hidden_points=any(feet.masks),
        left=frame.left,
        width=grid.width,
        window=reach,
        columns=columns,
    )


def _losses(curves: Sequence[Curve], reach: Window) -> list[float]:
    """Those that must fit into the picture: all inside, or all where none is."""
    points = [point for curve in curves for point in curve if not math.isnan(point[1])]
    inside = [loss for step, loss in points if reach[0] <= step <= reach[1]]
    return inside or [loss for _, loss in points]


def _to_validated(series: Series, numbers: Sequence[int]) -> Sequence[int]:
    """As far as the next validation loss on either side, where there is one."""
    if not numbers:
        return numbers
    first = bisect_left(series.validation_indices, numbers[0]) - 1
    last = bisect_right(series.validation_indices, numbers[-1])
    start = series.validation_indices[first] if first >= 0 else numbers[0]
    end = series.validation_indices[last] if last < len(series.validation_indices) else numbers[-1]
    return range(start, end + 1)


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
        heights = {
            column // self.grid.across: row // self.grid.down
            for column, row in dots
            if 0 <= column < self.grid.columns and 0 <= row < self.grid.rows
        }
        if not heights:
            return  # it is elsewhere
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
