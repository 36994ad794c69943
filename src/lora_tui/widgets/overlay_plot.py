"""Draws several curves over one another, each with its letter on it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lora_tui.domain import CurvePoint
from lora_tui.widgets.axes import TINY, linear_ticks, log_ticks
from lora_tui.widgets.canvas import Dot, Grid, Layer
from lora_tui.widgets.curve_plot import (
    LEAST_HEIGHT,
    LEAST_WIDTH,
    PlotStyle,
    Scale,
    loss_range,
    plot_row,
    smoothed_losses,
    step_axis,
    step_range,
)
from lora_tui.widgets.stars import Span

_LETTER_EVERY: Final = 30
"""Cells between the letters on a curve."""


@dataclass(frozen=True)
class Overlay:
    """`height` rows of spans, each exactly `width` cells."""

    rows: tuple[tuple[Span, ...], ...]
    is_log: bool
    """Whether the losses could be drawn on a logarithmic axis."""


def as_shares(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """The curve over percent of its run, so that runs of any length lie over one another."""
    if not points:
        return ()
    first, last = points[0].step, points[-1].step
    length = last - first or 1.0
    return tuple(
        CurvePoint((point.step - first) / length * 100, point.training_loss, point.validation_loss)
        for point in points
    )


def validation_curve(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """The validation losses as a curve of their own."""
    return tuple(
        CurvePoint(point.step, point.validation_loss)
        for point in points
        if point.validation_loss is not None
    )


def draw_overlay(
    curves: Sequence[Sequence[CurvePoint]],
    letters: str,
    width: int,
    height: int,
    style: PlotStyle,
) -> Overlay:
    """Draw the training losses of `drawable` curves into `width` by `height` cells.

    With nothing to draw or too little room the rows are blank. Styles of the spans: axis, label,
    and for each curve in order series0, series1, …
    """
    everything = [point for curve in curves for point in curve]
    if not everything or width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Overlay((((" " * max(0, width), "label"),),) * max(0, height), is_log=False)
    lines = [_line(curve, style) for curve in curves]
    losses = [loss for line in lines for loss in line]
    is_log = style.log_scale and max(losses) > TINY
    low, high = loss_range([x for x in losses if not is_log or x > TINY], is_log)
    rows = height - 2
    most = max(2, min(rows // 2, 3 + rows // 4))
    ticks = (log_ticks if is_log else linear_ticks)(low, high, most)
    gutter = max(len(label) for label in ticks.labels) + 1
    grid = Grid(width - gutter - 1, rows, *((1, 1) if style.ascii_only else (2, 4)))
    across = Scale(*step_range(everything), grid.columns)
    down = Scale(low, high, grid.rows, is_log=is_log)
    layers: list[tuple[Layer, str, str | None]] = []
    lettered = _Letters(grid)
    for number, (curve, line) in enumerate(zip(curves, lines, strict=True)):
        dots = [
            (across.dot(point.step), grid.rows - 1 - down.dot(loss))
            for point, loss in zip(curve, line, strict=True)
            if not (is_log and loss <= TINY)
        ]
        layer, letter = Layer(grid), letters[number]
        layer.draw(dots)
        layers.append((layer, f"series{number}", letter if style.ascii_only else None))
        lettered.put(dots, number, len(curves))
    tops: list[tuple[Layer, str, str | None]] = [
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
    drawn += step_axis(everything, grid, across, gutter, ascii_only=style.ascii_only)
    return Overlay(tuple(drawn), is_log)


def _line(curve: Sequence[CurvePoint], style: PlotStyle) -> list[float]:
    if style.smoothing:
        return smoothed_losses(curve)
    return [point.training_loss for point in curve]


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
