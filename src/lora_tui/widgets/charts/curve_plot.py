"""Draws a loss curve, or a part of it, into rows of text. Pure functions.

Three lines: the training loss as logged (faint), the training loss smoothed, and the validation
loss, with a mark where that was best. They are told apart without colour: validation is dashed,
and in ASCII each has its letter. Where losses were logged that are no numbers there is a gap;
what a logarithmic axis can't show has a mark at its foot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from lora_tui.curves.series import Series, Smoothing
from lora_tui.widgets.charts.axes import NEAR_ZERO, linear_ticks, log_ticks
from lora_tui.widgets.charts.canvas import Grid, Layer
from lora_tui.widgets.charts.plot_frame import (
    BELOW_AXIS,
    PlotLayer,
    Scale,
    bottom_axis,
    crossed_rows,
    line_segments,
    log_losses,
    loss_range,
    plot_row,
    step_range,
    ticks_across,
)
from lora_tui.widgets.styled_lines import Span

MIN_PLOT_WIDTH: Final = 24
MIN_PLOT_HEIGHT: Final = 5
BEST: Final = ("◆", "@")
"""Where the validation loss was best; in ASCII the second."""
_MARKS: Final = 2
"""So many of the layers are marks of what the axis can't show."""

Window = tuple[float, float]
"""From where to where of the curve, in steps or in seconds."""


@dataclass(frozen=True)
class PlotStyle:
    """What the user has chosen."""

    log_scale: bool = False
    smoothing: Smoothing = Smoothing.NORMAL
    ascii_only: bool = False
    over_time: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawn curve. `rows` has `height` rows of spans, each exactly `width` cells."""

    rows: tuple[tuple[Span, ...], ...]
    left: int
    """The cell where the plot begins, right of the axis."""
    width: int
    """Cells of the plot itself."""
    numbers: tuple[int, ...]
    """The points of the series that were drawn, in order."""
    cells: tuple[int, ...]
    """For each of them the cell of the plot (from 0) in which it stands."""
    window: Window
    """What the plot reaches from and to."""
    is_log: bool
    """Whether the losses could be drawn on a logarithmic axis."""
    has_hidden_points: bool = False
    """Whether there are losses that this axis can't show, and marks for them."""

    @cached_property
    def point_cells(self) -> Sequence[int]:
        """The cells that a point stands in, ascending."""
        return sorted(set(self.cells))


def draw_curve(
    series: Series,
    width: int,
    height: int,
    style: PlotStyle = PlotStyle(),
    window: Window | None = None,
) -> Plot:
    """Draw a curve, or what of it lies in `window`, into `width` by `height` cells.

    With no point, or too little room (`MIN_PLOT_WIDTH`, `MIN_PLOT_HEIGHT`), the rows are blank.
    Styles of the spans: axis, grid, label, raw, training, validation, best.
    """
    if not len(series) or width < MIN_PLOT_WIDTH or height < MIN_PLOT_HEIGHT:
        blank = ((" " * max(0, width), "label"),)
        return Plot((blank,) * max(0, height), 0, max(0, width), (), (), (0.0, 1.0), is_log=False)
    part = _Part.of(series, style, window, buckets=4 * width)
    logged = part.shown(part.training, part.validation)
    losses = [*logged, *part.shown(part.smoothed)] if style.smoothing else logged
    is_log = style.log_scale and max(logged) > NEAR_ZERO
    if is_log:
        losses = log_losses(losses, logged)
    low, high = loss_range(losses, is_log)
    rows = height - 2
    ticks = (log_ticks if is_log else linear_ticks)(
        low, high, max(2, min(rows // 2, 3 + rows // 4))
    )
    gutter = max(len(label) for label in ticks.labels) + 1
    grid = Grid(width - gutter - 1, rows, *((1, 1) if style.ascii_only else (2, 4)))
    across = Scale(*part.window, grid.columns, is_open=window is not None)
    down = Scale(low, high, grid.rows, is_log=is_log, is_open=window is not None)
    layers, raw = _layers(part, grid, across, down, style)
    has_hidden_points = any(any(layer.masks) for layer, _, _ in layers[:_MARKS])
    marks = {
        grid.rows // grid.down - 1 - down.dot(value) // grid.down: label
        for value, label in zip(ticks.values, ticks.labels, strict=True)
    }
    lines = [
        plot_row(
            row,
            grid,
            layers,
            marks.get(row),
            gutter,
            backdrop=raw,
            ascii_only=style.ascii_only,
        )
        for row in range(rows)
    ]
    over_time = style.over_time and series.seconds is not None
    below = ticks_across(part.xs, across, grid.width, over_time=over_time)
    lines += bottom_axis(below, grid, across, gutter, ascii_only=style.ascii_only)
    return Plot(
        tuple(lines),
        gutter + 1,
        grid.width,
        tuple(number for number, inside in zip(part.numbers, part.inside, strict=True) if inside),
        tuple(
            across.dot(x) // grid.across
            for x, inside in zip(part.xs, part.inside, strict=True)
            if inside
        ),
        part.window,
        is_log,
        has_hidden_points,
    )


def with_crosshair(
    plot: Plot, cell: int, *, ascii_only: bool = False
) -> tuple[tuple[Span, ...], ...]:
    """The plot's rows with an upright line in a cell of the plot, behind the curves."""
    return crossed_rows(plot.rows, plot.left + cell, ascii_only=ascii_only)


@dataclass(frozen=True)
class _Part:
    """The points that are drawn, and the window that they are drawn in."""

    numbers: Sequence[int]
    xs: Sequence[float]
    inside: Sequence[bool]
    """Whether each is in the window; one beyond either end may not be."""
    breaks: Sequence[bool]
    """Whether the training loss is interrupted before each."""
    training: Sequence[float]
    smoothed: Sequence[float]
    validation: Sequence[float | None]
    best: int | None
    window: Window

    @classmethod
    def of(cls, series: Series, style: PlotStyle, window: Window | None, buckets: int) -> _Part:
        numbers: Sequence[int] = range(len(series))
        if window is not None:
            numbers = series.indices_in(*window, over_time=style.over_time) or numbers
        numbers = series.decimate(numbers, buckets)
        points = series.points(numbers, over_time=style.over_time)
        xs = [point.step for point in points]
        low, high = window or step_range(series.extent(over_time=style.over_time))
        trend = series.trend(style.smoothing)
        return cls(
            numbers,
            xs,
            [low <= x <= high for x in xs],
            [False, *(series.has_gap_between(*pair) for pair in pairwise(numbers))],
            [point.training_loss for point in points],
            [trend[number] for number in numbers],
            [point.validation_loss for point in points],
            series.best_index,
            (low, high),
        )

    def shown(self, *columns: Sequence[float | None]) -> list[float]:
        """The losses that must fit into the picture: all inside, or all where none is."""
        shown = self.inside if any(self.inside) else [True] * len(self.inside)
        return [
            loss
            for column in columns
            for loss, is_shown in zip(column, shown, strict=True)
            if is_shown and loss is not None
        ]


def _layers(
    part: _Part, grid: Grid, across: Scale, down: Scale, style: PlotStyle
) -> tuple[list[PlotLayer], PlotLayer]:
    """The marks and lines, the top one first; and the losses as logged, which stand behind them."""
    unbroken = [False] * len(part.xs)

    def draw(
        losses: Sequence[float | None], breaks: Sequence[bool], *, dashed: bool = False
    ) -> tuple[Layer, Layer]:
        line, feet = Layer(grid), Layer(grid)
        runs, below = line_segments(part.xs, losses, breaks, across, down)
        for dots in runs:
            line.draw(dots, dashed=dashed)
        for dot in below:
            feet.draw([dot])
        return line, feet

    best, _ = draw(
        [
            loss if number == part.best else None
            for number, loss in zip(part.numbers, part.validation, strict=True)
        ],
        unbroken,
    )
    validation, validation_feet = draw(part.validation, unbroken, dashed=True)
    logged, feet = draw(part.training, part.breaks)
    training = draw(part.smoothed, part.breaks)[0] if style.smoothing else logged
    raw = logged if style.smoothing else Layer(grid)
    letters = ("o", "*", ".") if style.ascii_only else (None, None, None)
    foot = BELOW_AXIS[style.ascii_only]
    return [
        (validation_feet, "validation", foot),
        (feet, "training", foot),
        (best, "best", BEST[style.ascii_only]),
        (validation, "validation", letters[0]),
        (training, "training", letters[1]),
    ], (raw, "raw", letters[2])
