"""One metric of several models in one chart, each with its letter and values."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.reactive import reactive

from lora_tui import formats
from lora_tui.curves.metrics_series import NEVER_SMOOTHED, TRAINING, label_of
from lora_tui.curves.series import Series, Smoothing
from lora_tui.reports import LETTERS, MAX_COMPARED
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.charts.axes import NEAR_ZERO
from lora_tui.widgets.charts.curve_plot import (
    MIN_PLOT_HEIGHT,
    MIN_PLOT_WIDTH,
    SMOOTHED,
    PlotStyle,
    Window,
)
from lora_tui.widgets.charts.metric_text import metric_text
from lora_tui.widgets.charts.plot_frame import (
    BELOW_AXIS,
    Dot,
    Grid,
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
from lora_tui.widgets.charts.zoomable_chart import ZoomableChart
from lora_tui.widgets.styled_lines import Line, Span, line_styles

_CLOSEST: Final = 2000.0
"""The largest zoom factor."""
Curve = Sequence[tuple[float, float]]
"""(step, loss) pairs; a loss of NaN is a gap in the line, everything else is finite."""

_LETTER_EVERY: Final = 30
"""Cells between two letters on a curve."""


class OverlayChart(ZoomableChart):
    """Shows a heading and the curves. Its styles set its height."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading",
        "strong",
        "value",
        "muted",
        "label",
        "axis",
        "grid",
        "crosshair",
        *(f"series{number}" for number in range(MAX_COMPARED)),
    )

    crosshair: reactive[float | None] = reactive(None)
    """The step, or percent of the run, of the crosshair; None without a crosshair."""
    front_curve: reactive[int | None] = reactive(None)
    """The index of the curve drawn over the others; None for the first."""
    validation: reactive[bool] = reactive(False)
    """Whether to draw validation losses instead of training losses."""
    metric: reactive[str] = reactive("")
    """The column of the metric that is drawn as training loss; empty for the losses."""
    by_percent: reactive[bool] = reactive(False)
    """Whether to draw over percent of the run instead of steps."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._curves: tuple[Series, ...] = ()
        self._drawn: tuple[object, Overlay] | None = None
        self._axis_chosen = False
        self._message = ""

    def show(self, curves: Sequence[Series], *, otherwise: str = "") -> None:
        """Draw these curves in the order of the letters, or `otherwise` if all are empty.

        Until the user chooses, the axis shows steps, or percent of the run if the longest run has
        more than twice the steps of the shortest.
        """
        self._curves, self._drawn, self._message = tuple(curves), None, otherwise
        lengths = [curve.steps[-1] for curve in self._curves if len(curve)]
        if lengths and not self._axis_chosen:
            self._draw_over(by_percent=max(lengths) > 2 * min(lengths))
        self.refresh()

    def toggle_percent(self) -> None:
        """Switch between percent of the run and steps, and show the whole range."""
        self._axis_chosen = True
        self._draw_over(by_percent=not self.by_percent)

    @property
    def has_curve(self) -> bool:
        """Whether any run has losses of the chosen kind."""
        return any(len(s.validation if self.validation else s.steps) for s in self._curves)

    @property
    def drawing(self) -> Overlay | None:
        """The plot."""
        return self._overlay() if self.has_curve else None

    @property
    def full_range(self) -> Window:
        """From the first to the last step of all runs."""
        if self.by_percent:
            return (0.0, 100.0)
        ends = [end for s in self._curves if len(s) for end in s.extent(over_time=False)]
        return step_range(ends) if ends else (0.0, 1.0)

    def can_show(self, low: float, high: float) -> bool:
        """Whether the zoom factor is at most the largest one."""
        left, right = self.full_range
        return (high - low) * _CLOSEST >= right - left

    def crosshair_cell(self) -> int | None:
        """The cell of the point nearest to the crosshair."""
        overlay = self.drawing
        if overlay is None or self.crosshair is None:
            return None
        low, high = overlay.window
        if not overlay.columns or not low <= self.crosshair <= high:
            return None
        at = self.crosshair
        return min(overlay.point_cells, key=lambda cell: abs(overlay.columns[cell] - at))

    def move_crosshair_to(self, cell: int) -> None:
        """Move the crosshair to the last point in a cell."""
        self.crosshair = self._overlay().columns[cell]

    def hide_crosshair(self) -> None:
        """Remove the crosshair."""
        self.crosshair = None

    def readings(self) -> list[float | None]:
        """The loss of each curve at the crosshair; None outside its run."""
        return [self._reading(series) for series in self._curves]

    def lines(self, width: int) -> Sequence[Line]:
        """What is drawn, or what is read at the crosshair; then the plot."""
        height = self.content_size.height
        overlay = self._overlay()
        cell = self.crosshair_cell()
        heading = self._heading(overlay, width) if cell is None else self._readings_line(width)
        if overlay.has_curve:
            rows = overlay.rows
            if cell is not None:
                rows = crossed_rows(rows, overlay.left + cell, ascii_only=self.ascii_only)
            return [heading, *rows]
        has_points = any(len(series) for series in self._curves)
        reason = "No validation losses were logged" if has_points else self._message
        if self.metric:
            reason = f"No values yet: {label_of(self.metric).lower()}"
        blank: Line = [("", "muted")]
        text = normalize_width(reason, ascii_only=self.ascii_only)
        indent = " " * max(0, (width - cell_len(text)) // 2)
        return [
            heading,
            *[blank] * max(0, height // 2 - 1),
            [(indent + text, "muted")],
        ]

    def _draw_over(self, *, by_percent: bool) -> None:
        if by_percent is not self.by_percent:
            self.window = self.crosshair = None
            self.by_percent = by_percent

    def _heading(self, overlay: Overlay, width: int) -> Line:
        """The heading: which losses are drawn, and the chart options."""
        loss = "Validation loss" if self.validation else "Training loss"
        loss = label_of(self.metric) if self.metric else loss
        facts = [SMOOTHED[self._smooths]]
        facts.append("over % of the run" if self.by_percent else "over steps")
        if self.plot_style.log_scale:
            facts.append("log scale" if overlay.is_log else "no log scale: losses below 0")
            if overlay.has_hidden_points:
                facts.append(f"{BELOW_AXIS[self.ascii_only]} 0 or less")
        if self.zoom_factor > 1:
            facts.insert(0, formats.zoom(self.zoom_factor, ascii_only=self.ascii_only))
        text = "  " + (" - " if self.ascii_only else " · ").join(facts)
        return [(loss, "heading"), (fit(text, max(0, width - cell_len(loss))), "muted")]

    def _readings_line(self, width: int) -> Line:
        """The crosshair's position, and letter and loss of each model; spaced by the width."""
        number = (formats.percent if self.by_percent else formats.step)(self.crosshair or 0.0)
        place = number if self.by_percent else f"step {number}"
        column = self.metric or TRAINING
        values = [metric_text(column, value) for value in self.readings()]
        forms = ((place, "  ", " "), (number, "  ", " "), (number, " ", " "), (number, " ", ""))
        for shown, gap, between in forms:
            spans: list[Span] = [(shown, "strong")]
            for curve, value in enumerate(values):
                spans += [(f"{gap}{LETTERS[curve]}{between}", f"series{curve}"), (value, "value")]
            if sum(cell_len(text) for text, _ in spans) <= width:
                break
        return _cut(spans, width)

    def _reading(self, series: Series) -> float | None:
        if self.crosshair is None or not len(series):
            return None
        number = series.index_at(step_at(series, self.crosshair, by_percent=self.by_percent))
        if number is None:
            return None
        reading = series.reading(number, self._smooths or Smoothing.NORMAL)
        if self.validation:
            return reading.validation
        return reading.smoothed if self._smooths else reading.training

    @property
    def _smooths(self) -> Smoothing:
        """The smoothing of training losses; validation losses are never smoothed."""
        is_plain = self.validation or self.metric in NEVER_SMOOTHED
        return Smoothing.OFF if is_plain else self.plot_style.smoothing

    def _shown(self, width: int, smoothing: Smoothing) -> list[Curve]:
        return [
            overlay_curve(
                series,
                validation=self.validation,
                smoothing=smoothing,
                by_percent=self.by_percent,
                buckets=4 * max(1, width),
                window=self.window,
            )
            for series in self._curves
        ]

    def _overlay(self) -> Overlay:
        width, height = self.content_size
        view = (
            self.plot_style,
            self.validation,
            self.metric,
            self.by_percent,
            self.window,
            self.front_curve,
        )
        key = (width, height, *view)
        if self._drawn is None or self._drawn[0] != key:
            is_smoothed_log = self._smooths and self.plot_style.log_scale
            overlay = draw_overlay(
                self._shown(width, self._smooths),
                LETTERS,
                width,
                max(0, height - 1),
                self.plot_style,
                self.window,
                self.front_curve,
                self._shown(width, Smoothing.OFF) if is_smoothed_log else (),
            )
            self._drawn = (key, overlay)
        return self._drawn[1]


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


def _cut(spans: Sequence[Span], width: int) -> list[Span]:
    """The first spans that fit as a whole."""
    kept: list[Span] = []
    for text, style in spans:
        if sum(cell_len(kept_text) for kept_text, _ in kept) + cell_len(text) > width:
            break
        kept.append((text, style))
    return kept


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
