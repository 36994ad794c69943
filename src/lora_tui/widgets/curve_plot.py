"""Draws a loss curve into rows of text: lines, axes with round ticks, a crosshair. Pure functions.

Three lines: the training loss as logged (faint), the training loss smoothed, and the validation
loss. They are told apart without colour: validation is dashed, and in ASCII each has its letter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui.domain import CurvePoint
from lora_tui.widgets.axes import TINY, Ticks, linear_ticks, log_ticks, padded_range
from lora_tui.widgets.canvas import Dot, Grid, Layer
from lora_tui.widgets.stars import Span

LEAST_WIDTH: Final = 24
LEAST_HEIGHT: Final = 5
_LARGEST: Final = 1e100
"""Beyond it a loss has run away; it is drawn at this height, so that differences stay finite."""
_STEP_TICK_CELLS: Final = 11


@dataclass(frozen=True)
class PlotStyle:
    """What the user has chosen."""

    log_scale: bool = False
    smoothing: bool = True
    ascii_only: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawn curve. `rows` has `height` rows of spans, each exactly `width` cells."""

    rows: tuple[tuple[Span, ...], ...]
    left: int
    """The cell where the plot begins, right of the axis."""
    width: int
    """Cells of the plot itself."""
    cells: tuple[int, ...]
    """For each point in order, the cell of the plot (from 0) in which it stands."""
    is_log: bool
    """Whether the losses could be drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Reading:
    """The values at one point of the curve; losses in nats a token."""

    step: float
    training: float
    smoothed: float
    validation: float | None
    """The newest that was recorded up to this step."""
    validation_step: float | None


def drawable(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """The points whose step and training loss are finite, nothing beyond what can be drawn."""
    return tuple(
        CurvePoint(
            _clamped(point.step),
            _clamped(point.training_loss),
            None
            if point.validation_loss is None or not math.isfinite(point.validation_loss)
            else _clamped(point.validation_loss),
        )
        for point in points
        if math.isfinite(point.step) and math.isfinite(point.training_loss)
    )


def smoothed_losses(points: Sequence[CurvePoint]) -> list[float]:
    """The trend of the training loss: each value averaged with its neighbours on both sides.

    Weights fall off exponentially, over about a twentieth of the run altogether. Looking ahead as
    well as back keeps the trend from lagging behind the curve and behind the validation loss.
    """
    losses = [point.training_loss for point in points]
    weight = 1 - 1 / max(1.0, len(losses) / 40)
    before = _running_sums(losses, weight)
    after = _running_sums(losses[::-1], weight)[::-1]
    return [
        (left + right - loss) / (left_weight + right_weight - 1)
        for loss, (left, left_weight), (right, right_weight) in zip(
            losses, before, after, strict=True
        )
    ]


def read_values(
    points: Sequence[CurvePoint], index: int, trend: Sequence[float] | None = None
) -> Reading:
    """The values at a point of `drawable` ones; `trend` is theirs, if it is known already."""
    point = points[index]
    recorded = next(
        (p for p in reversed(points[: index + 1]) if p.validation_loss is not None), None
    )
    return Reading(
        step=point.step,
        training=point.training_loss,
        smoothed=(trend or smoothed_losses(points))[index],
        validation=recorded.validation_loss if recorded else None,
        validation_step=recorded.step if recorded else None,
    )


def draw_curve(
    points: Sequence[CurvePoint],
    width: int,
    height: int,
    style: PlotStyle = PlotStyle(),
    trend: Sequence[float] | None = None,
) -> Plot:
    """Draw `drawable` points into `width` by `height` cells.

    With no point, or too little room (`LEAST_WIDTH`, `LEAST_HEIGHT`), the rows are blank.
    `trend` is `smoothed_losses(points)`, if it is known already.
    Styles of the spans: axis, label, raw, training, validation.
    """
    if not points or width < LEAST_WIDTH or height < LEAST_HEIGHT:
        blank = ((" " * max(0, width), "label"),)
        return Plot((blank,) * max(0, height), 0, max(0, width), (), is_log=False)
    trend = trend or smoothed_losses(points)
    losses = _losses(points, trend, style)
    is_log = style.log_scale and max(losses) > TINY
    if is_log:
        losses = [loss for loss in losses if loss > TINY]
    low, high = loss_range(losses, is_log)
    rows = height - 2
    ticks = (log_ticks if is_log else linear_ticks)(
        low, high, max(2, min(rows // 2, 3 + rows // 4))
    )
    gutter = max(len(label) for label in ticks.labels) + 1
    grid = Grid(width - gutter - 1, rows, *((1, 1) if style.ascii_only else (2, 4)))
    across = Scale(*step_range(points), grid.columns)
    down = Scale(low, high, grid.rows, is_log=is_log)
    layers = _layers(points, trend, grid, across, down, style)
    marks = {
        grid.rows // grid.down - 1 - down.dot(value) // grid.down: label
        for value, label in zip(ticks.values, ticks.labels, strict=True)
    }
    lines = [
        plot_row(row, grid, layers, marks.get(row), gutter, ascii_only=style.ascii_only)
        for row in range(rows)
    ]
    lines += step_axis(points, grid, across, gutter, ascii_only=style.ascii_only)
    cells = tuple(across.dot(point.step) // grid.across for point in points)
    return Plot(tuple(lines), gutter + 1, grid.width, cells, is_log)


def with_crosshair(
    plot: Plot, cell: int, *, ascii_only: bool = False
) -> tuple[tuple[Span, ...], ...]:
    """The plot's rows with an upright line in a cell of the plot, behind the curves."""
    column = plot.left + cell
    upright, foot = (":", "+") if ascii_only else ("│", "┴")
    crossed = []
    last = len(plot.rows) - 2
    for number, row in enumerate(plot.rows):
        if number > last:
            crossed.append(row)
        elif number == last:
            crossed.append(_replaced(row, column, foot, "crosshair", only_blank=False))
        else:
            crossed.append(_replaced(row, column, upright, "crosshair", only_blank=True))
    return tuple(crossed)


@dataclass(frozen=True)
class Scale:
    """From values to dots, 0 at `low`."""

    low: float
    high: float
    dots: int
    is_log: bool = False

    def dot(self, value: float) -> int:
        """The dot nearest to a value; the last one for what is beyond an end."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        share = (value - low) / (high - low)
        return round(min(1.0, max(0.0, share)) * (self.dots - 1))


def _running_sums(losses: Sequence[float], weight: float) -> list[tuple[float, float]]:
    """Up to each loss, the weighted sum of losses and the sum of their weights."""
    sums = []
    total, weights = 0.0, 0.0
    for loss in losses:
        total = total * weight + loss
        weights = weights * weight + 1.0
        sums.append((total, weights))
    return sums


def _losses(points: Sequence[CurvePoint], trend: Sequence[float], style: PlotStyle) -> list[float]:
    losses = [point.training_loss for point in points]
    if style.smoothing:
        losses += trend
    return losses + [p.validation_loss for p in points if p.validation_loss is not None]


def loss_range(losses: Sequence[float], is_log: bool) -> tuple[float, float]:
    """From the lowest to the highest of them, with a margin; positive ones where `is_log`."""
    if not is_log:
        return padded_range(losses, margin=0.03)
    low, high = padded_range([math.log10(loss) for loss in losses], margin=0.03)
    return 10**low, 10**high


def _layers(
    points: Sequence[CurvePoint],
    trend: Sequence[float],
    grid: Grid,
    across: Scale,
    down: Scale,
    style: PlotStyle,
) -> list[tuple[Layer, str, str | None]]:
    """The lines with their styles and ASCII letters, the top one first."""

    def dots(losses: Sequence[float | None]) -> list[Dot]:
        return [
            (across.dot(point.step), grid.rows - 1 - down.dot(loss))
            for point, loss in zip(points, losses, strict=True)
            if loss is not None and not (down.is_log and loss <= TINY)
        ]

    validation, training, raw = Layer(grid), Layer(grid), Layer(grid)
    validation.draw(dots([point.validation_loss for point in points]), dashed=not style.ascii_only)
    logged = dots([point.training_loss for point in points])
    if style.smoothing:
        training.draw(dots(trend))
        raw.draw(logged)
    else:
        training.draw(logged)
    letters = ("o", "*", ".") if style.ascii_only else (None, None, None)
    return [
        (validation, "validation", letters[0]),
        (training, "training", letters[1]),
        (raw, "raw", letters[2]),
    ]


def plot_row(
    row: int,
    grid: Grid,
    layers: Sequence[tuple[Layer, str, str | None]],
    label: str | None,
    gutter: int,
    *,
    ascii_only: bool,
) -> tuple[Span, ...]:
    """One row of the plot with its part of the loss axis; the first layer is the top one."""
    plain, ticked = ("|", "+") if ascii_only else ("│", "┤")
    cells: list[Span] = []
    for cell in range(row * grid.width, (row + 1) * grid.width):
        for layer, style, letter in layers:
            character = layer.character(cell, letter)
            if character is not None:
                cells.append((character, style))
                break
        else:
            cells.append((" ", "axis"))
    return (
        (f"{label or '':>{gutter - 1}} ", "label"),
        (ticked if label else plain, "axis"),
        *_merged(cells),
    )


def step_axis(
    points: Sequence[CurvePoint], grid: Grid, across: Scale, gutter: int, *, ascii_only: bool
) -> list[tuple[Span, ...]]:
    """The two rows below the plot: the axis, and the numbers at its ticks."""
    corner, line, tick = ("+", "-", "+") if ascii_only else ("└", "─", "┬")
    ticks = _step_ticks(points, across, grid.width)
    axis = [line] * grid.width
    labels = [" "] * (gutter + 1 + grid.width)
    free_from = 0
    for value, label in zip(ticks.values, ticks.labels, strict=True):
        cell = across.dot(value) // grid.across
        middle = gutter + 1 + cell
        start = min(max(0, middle - len(label) // 2), len(labels) - len(label))
        if start < free_from:
            continue
        axis[cell] = tick
        labels[start : start + len(label)] = label
        free_from = start + len(label) + 2
    return [
        ((" " * gutter, "label"), (corner + "".join(axis), "axis")),
        (("".join(labels), "label"),),
    ]


def step_range(points: Sequence[CurvePoint]) -> tuple[float, float]:
    """From the first step to the last; from 0 where a run begins shortly after it."""
    low, high = padded_range([point.step for point in points])
    return (0.0, high) if 0 < low <= high / 20 else (low, high)


def _step_ticks(points: Sequence[CurvePoint], across: Scale, width: int) -> Ticks:
    first = points[0].step
    if all(point.step == first for point in points):
        return Ticks((first,), (f"{first:,.10g}",))
    return linear_ticks(across.low, across.high, max(2, width // _STEP_TICK_CELLS))


def _replaced(
    row: tuple[Span, ...], column: int, character: str, style: str, *, only_blank: bool
) -> tuple[Span, ...]:
    cells = [(character_, name) for text, name in row for character_ in text]
    if not only_blank or cells[column][0] == " ":
        cells[column] = (character, style)
    return tuple(_merged(cells))


def _merged(cells: Sequence[Span]) -> list[Span]:
    """Neighbours of one style as one span."""
    spans: list[Span] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index][1] != cells[start][1]:
            spans.append(("".join(text for text, _ in cells[start:index]), cells[start][1]))
            start = index
    return spans


def _clamped(value: float) -> float:
    return max(-_LARGEST, min(_LARGEST, value))
