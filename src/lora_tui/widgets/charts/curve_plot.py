"""Draws a loss curve, or a part of it, into rows of text, with its legend. Pure functions.

Three lines: the training loss as logged (faint), the smoothed training loss, and the validation
loss with a mark at its best value. They differ without colour: validation is dashed, and in ASCII
each line has its own character. Losses that are not numbers leave a gap. Losses that a logarithmic
axis can't show have a mark at the bottom.

The legend is the line above: names of the curves, values at the crosshair, chart options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.curves.series import Reading, Series, Smoothing
from lora_tui.widgets.charts.axes import NEAR_ZERO
from lora_tui.widgets.charts.plot_frame import (
    BELOW_AXIS,
    Layer,
    PlotFrame,
    PlotLayer,
    crossed_rows,
    line_segments,
    log_losses,
    loss_range,
    step_range,
    ticks_across,
)
from lora_tui.widgets.styled_lines import Span

MIN_PLOT_WIDTH: Final = 24
MIN_PLOT_HEIGHT: Final = 5
BEST: Final = ("◆", "@")
"""The mark of the best validation loss; the second one for ASCII."""
_MARKS: Final = 2
"""The number of layers with marks for losses that the axis can't show; they come first."""

Window = tuple[float, float]
"""The visible range of the curve, in steps or in seconds."""
SMOOTHED: Final = {
    Smoothing.OFF: "as logged",
    Smoothing.LIGHT: "lightly smoothed",
    Smoothing.NORMAL: "smoothed",
    Smoothing.STRONG: "strongly smoothed",
}


@dataclass(frozen=True)
class PlotStyle:
    """The options of a chart."""

    log_scale: bool = False
    smoothing: Smoothing = Smoothing.NORMAL
    ascii_only: bool = False
    over_time: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawn curve; every row is exactly as wide as requested."""

    rows: tuple[tuple[Span, ...], ...]
    left: int
    """The first cell of the plot, right of the axis."""
    width: int
    """Cells of the plot itself."""
    numbers: tuple[int, ...]
    """The indices of the drawn points of the series, in order."""
    cells: tuple[int, ...]
    """For each drawn point its cell of the plot, from 0."""
    window: Window
    """The range that the plot covers."""
    is_log: bool
    """Whether the loss axis is logarithmic."""
    has_hidden_points: bool = False
    """Whether there are losses that the axis can't show."""

    @cached_property
    def point_cells(self) -> Sequence[int]:
        """The cells that contain a point, ascending."""
        return sorted(set(self.cells))


def draw_curve(
    series: Series,
    width: int,
    height: int,
    style: PlotStyle = PlotStyle(),
    window: Window | None = None,
) -> Plot:
    """Draw a curve, or the part in `window`, into `width` by `height` cells.

    Without points, or in less than `MIN_PLOT_WIDTH` by `MIN_PLOT_HEIGHT` cells, the rows are blank.
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
    frame = PlotFrame.of(
        width,
        height,
        part.window,
        (low, high),
        is_log=is_log,
        is_open=window is not None,
        ascii_only=style.ascii_only,
    )
    layers, raw = _layers(part, frame, style)
    has_hidden_points = any(any(layer.masks) for layer, _, _ in layers[:_MARKS])
    over_time = style.over_time and series.seconds is not None
    bottom = ticks_across(part.xs, frame.across, frame.grid.width, over_time=over_time)
    return Plot(
        frame.draw(layers, bottom, raw),
        frame.left,
        frame.grid.width,
        tuple(number for number, inside in zip(part.numbers, part.inside, strict=True) if inside),
        tuple(
            frame.across.dot(x) // frame.grid.across
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
    """The rows of the plot with a vertical line at a cell of the plot, behind the curves."""
    return crossed_rows(plot.rows, plot.left + cell, ascii_only=ascii_only)


def legend(
    style: PlotStyle,
    reading: Reading | None,
    width: int,
    *,
    is_log: bool,
    has_validation: bool,
    has_hidden_points: bool = False,
    zoom_factor: float = 1.0,
    over_time: bool = False,
) -> list[Span]:
    """At most `width` cells; in a narrow chart the names are left out first, then the options."""
    heading: Span = ("Loss", "heading")
    if reading is not None:
        heading = (_place(reading, over_time=over_time), "strong")
    entries = _entries(style, reading, has_validation=has_validation)
    if has_hidden_points:
        entries.append(_Entry("training", BELOW_AXIS[style.ascii_only], "0 or less"))
    named = [heading, *_spans(entries, with_names=True)]
    if _cells(named) > width:
        named = [heading, *_spans(entries, with_names=False)]
    aside = _aside(style, is_log=is_log, zoom_factor=zoom_factor, over_time=over_time)
    while aside:
        text = (" - " if style.ascii_only else " · ").join(aside)
        room = width - _cells(named) - cell_len(text)
        if room >= 2:
            return [*named, (" " * room, "muted"), (text, "muted")]
        aside = aside[1:]
    return named


@dataclass(frozen=True)
class _Part:
    """The points to draw and their window."""

    numbers: Sequence[int]
    xs: Sequence[float]
    inside: Sequence[bool]
    """Whether each point is in the window; the first and last may be outside."""
    breaks: Sequence[bool]
    """Whether the training loss has a gap before each point."""
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
        """The losses that the axis must cover: those in the window, or all if there are none."""
        shown = self.inside if any(self.inside) else [True] * len(self.inside)
        return [
            loss
            for column in columns
            for loss, is_shown in zip(column, shown, strict=True)
            if is_shown and loss is not None
        ]


def _layers(part: _Part, frame: PlotFrame, style: PlotStyle) -> tuple[list[PlotLayer], PlotLayer]:
    """The marks and lines, the top one first, and the logged losses behind them."""
    unbroken = [False] * len(part.xs)

    def draw(
        losses: Sequence[float | None], breaks: Sequence[bool], *, dashed: bool = False
    ) -> tuple[Layer, Layer]:
        line, feet = Layer(frame.grid), Layer(frame.grid)
        runs, below = line_segments(part.xs, losses, breaks, frame.across, frame.down)
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
    raw = logged if style.smoothing else Layer(frame.grid)
    letters = ("o", "*", ".") if style.ascii_only else (None, None, None)
    foot = BELOW_AXIS[style.ascii_only]
    return [
        (validation_feet, "validation", foot),
        (feet, "training", foot),
        (best, "best", BEST[style.ascii_only]),
        (validation, "validation", letters[0]),
        (training, "training", letters[1]),
    ], (raw, "raw", letters[2])


@dataclass(frozen=True)
class _Entry:
    """The entry of one line of the chart."""

    style: str
    sign: str
    name: str
    value: str = ""


def _place(reading: Reading, *, over_time: bool) -> str:
    """`step 1,200`; over time `1:02:03 step 1,200`."""
    if over_time and reading.seconds is not None:
        return f"{formats.duration(reading.seconds)} step {formats.step(reading.step)}"
    return f"step {formats.step(reading.step)}"


def _entries(style: PlotStyle, reading: Reading | None, *, has_validation: bool) -> list[_Entry]:
    """The entries of the drawn lines, the most important first."""
    solid, dots, dashes = ("*", ".", "o") if style.ascii_only else ("━━", "⠒⠒", "╍╍")
    smoothed = training = validation = ""
    if reading is not None:
        smoothed, training = formats.loss(reading.smoothed), formats.loss(reading.training)
        validation = formats.loss(reading.validation)
    if style.smoothing:
        entries = [
            _Entry("training", solid, SMOOTHED[style.smoothing], smoothed),
            _Entry("raw", dots, "logged", training),
        ]
    else:
        entries = [_Entry("training", solid, "training", training)]
    if has_validation:
        entries.append(_Entry("validation", dashes, "validation", validation))
        if reading is None:
            entries.append(_Entry("best", BEST[style.ascii_only], "best"))
    return entries


def _aside(style: PlotStyle, *, is_log: bool, zoom_factor: float, over_time: bool) -> list[str]:
    """The options, the least important first."""
    words = []
    if over_time:
        words.append("over time")
    if style.log_scale:
        words.append("log scale" if is_log else "no log scale: losses below 0")
    if zoom_factor > 1:
        words.append(formats.zoom(zoom_factor, ascii_only=style.ascii_only))
    return words


def _spans(entries: Sequence[_Entry], *, with_names: bool) -> list[Span]:
    spans: list[Span] = []
    for entry in entries:
        spans.append((f"  {entry.sign}", entry.style))
        if with_names:
            spans.append((f" {entry.name}", "muted"))
        if entry.value:
            spans.append((f" {entry.value}", "value"))
    return spans


def _cells(spans: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)
