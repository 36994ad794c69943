"""Draws the metrics of a run as charts under one another, aligned, with their titles.

Pure functions. Each metric is drawn as logged (faint) and smoothed; validation losses are dashed,
with a mark at the best one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.curves.metrics_series import VALIDATION, Axis, Chart, MetricRun, Track
from lora_tui.curves.series import Smoothing
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.charts.axes import NEAR_ZERO, Ticks, linear_ticks, time_ticks
from lora_tui.widgets.charts.curve_plot import BEST, SMOOTHED, PlotStyle, Window
from lora_tui.widgets.charts.metric_text import SHARES, metric_text
from lora_tui.widgets.charts.plot_frame import (
    BELOW_AXIS,
    Layer,
    PlotFrame,
    PlotLayer,
    left_of,
    line_segments,
    log_losses,
    loss_range,
    step_range,
    ticks_down,
)
from lora_tui.widgets.styled_lines import Span

_TICK_CELLS: Final = 11
_LEAST_WIDTH: Final = 24
_LEAST_ROWS: Final = 3
_PERCENT: Final = (0.0, 100.0)
AXIS_WORDS: Final = {
    Axis.STEP: "",
    Axis.EPOCH: "over epochs",
    Axis.TIME: "over time",
    Axis.PERCENT: "over % of the run",
}


@dataclass(frozen=True)
class MetricPlot:
    """One drawn chart, without its title."""

    chart: Chart
    rows: tuple[tuple[Span, ...], ...]
    """Empty where no value is a number."""
    is_log: bool = False
    has_hidden_points: bool = False


@dataclass(frozen=True)
class Stack:
    """All charts, aligned; every row is exactly as wide as requested."""

    plots: tuple[MetricPlot, ...]
    left: int
    """The first cell of the plots, right of the axis."""
    width: int
    """Cells of the plots themselves."""
    window: Window
    """The range that they cover, in steps or seconds."""
    columns: Mapping[int, int]
    """Cell of the plots → index of the last drawn point in it."""

    @cached_property
    def point_cells(self) -> Sequence[int]:
        """The cells that contain a point, ascending."""
        return sorted(self.columns)


def full_range(run: MetricRun, axis: Axis) -> Window:
    """The range of the whole run; with PERCENT and EPOCH up to the end of the job."""
    low, high = run.extent(axis)
    return (
        (low, high)
        if axis in (Axis.PERCENT, Axis.EPOCH) and low < high
        else step_range((low, high))
    )


def draw_stack(
    run: MetricRun,
    charts: Sequence[Chart],
    width: int,
    heights: Sequence[tuple[int, bool]],
    style: PlotStyle,
    axis: Axis = Axis.STEP,
    window: Window | None = None,
) -> Stack:
    """Draw the charts, or the part in `window`.

    `heights`: rows of each without its title, and whether it labels the horizontal axis.
    """
    reach = window or full_range(run, axis)
    parts = [
        _Part.of(run, chart, style, axis, reach, buckets=width, is_open=window is not None)
        for chart in charts
    ]
    inner = [height - (1 if labelled else 0) - 1 for height, labelled in heights]
    drawn = [
        part.has_values and rows >= _LEAST_ROWS and width >= _LEAST_WIDTH
        for part, rows in zip(parts, inner, strict=True)
    ]
    left = max(
        (
            left_of(ticks_down(part.values_range, rows, is_log=part.is_log))
            for part, rows, is_drawn in zip(parts, inner, drawn, strict=True)
            if is_drawn
        ),
        default=0,
    )
    plots = []
    columns: dict[int, int] = {}
    for part, (height, labelled), is_drawn in zip(parts, heights, drawn, strict=True):
        if not is_drawn:
            plots.append(MetricPlot(part.chart, ()))
            continue
        frame = PlotFrame.of(
            width,
            height + (0 if labelled else 1),
            reach,
            part.values_range,
            is_log=part.is_log,
            is_open=window is not None,
            ascii_only=style.ascii_only,
            least_left=left,
        )
        layers, raw = part.layers(frame)
        bottom = _ticks(run, axis, reach, frame.grid.width)
        rows = frame.draw(layers, bottom, raw)
        plots.append(
            MetricPlot(
                part.chart,
                rows if labelled else rows[:-1],
                part.is_log,
                any(any(layer.masks) for layer, _, letter in layers if letter in BELOW_AXIS),
            )
        )
        _note_columns(columns, part, reach, frame)
    return Stack(tuple(plots), left, max(0, width - left), reach, columns)


def _note_columns(columns: dict[int, int], part: _Part, reach: Window, frame: PlotFrame) -> None:
    """Note for each cell the last point that is drawn in it, where none later is noted yet."""
    (low, high), grid = reach, frame.grid
    per_cell = (grid.columns - 1) / (high - low)
    for line in part.lines:
        for x, number in zip(line.xs, line.numbers, strict=True):
            if low <= x <= high:
                cell = round((x - low) * per_cell) // grid.across
                if columns.get(cell, -1) < number:
                    columns[cell] = number


def _ticks(run: MetricRun, axis: Axis, reach: Window, width: int) -> Ticks:
    most = max(2, width // _TICK_CELLS)
    if axis is Axis.TIME:
        return time_ticks(*reach, most)
    scale = run.scale(axis)
    ticks = linear_ticks(reach[0] * scale, reach[1] * scale, most)
    unit = " %" if axis is Axis.PERCENT else ""
    return Ticks(
        tuple(value / scale for value in ticks.values),
        tuple(f"{label}{unit}" for label in ticks.labels),
    )


@dataclass(frozen=True)
class _Line:
    """The drawn points of one metric."""

    column: str
    numbers: Sequence[int]
    xs: Sequence[float]
    logged: Sequence[float]
    smoothed: Sequence[float] | None
    breaks: Sequence[bool]
    best: int | None
    """The index among these points of the best validation loss."""
    inside: Sequence[bool]

    @classmethod
    def of(
        cls,
        run: MetricRun,
        track: Track,
        column: str,
        smoothing: Smoothing,
        axis: Axis,
        reach: Window,
        buckets: int,
        *,
        is_open: bool,
    ) -> _Line:
        places = run.visible_places(track, reach if is_open else None, axis, buckets)
        is_validation = column == VALIDATION
        best = track.best_place if is_validation else None
        if best is not None and places and places[0] <= best <= places[-1]:
            places = sorted({*places, best})
        xs, numbers = run.xs(axis), [track.numbers[place] for place in places]
        shown = [xs[number] for number in numbers]
        return cls(
            column,
            numbers,
            shown,
            [track.values[place] for place in places],
            track.smoothed(places, smoothing) if smoothing and not is_validation else None,
            [False, *(track.has_gap_between(*pair) for pair in pairwise(places))][: len(places)],
            places.index(best) if best is not None and best in places else None,
            [reach[0] <= x <= reach[1] for x in shown],
        )


@dataclass(frozen=True)
class _Part:
    """What one chart shows."""

    chart: Chart
    lines: Sequence[_Line]
    is_log: bool
    values_range: tuple[float, float]
    ascii_only: bool

    @classmethod
    def of(
        cls,
        run: MetricRun,
        chart: Chart,
        style: PlotStyle,
        axis: Axis,
        reach: Window,
        buckets: int,
        *,
        is_open: bool,
    ) -> _Part:
        smoothing = style.smoothing if chart.is_smoothed else Smoothing.OFF
        lines = [
            _Line.of(
                run, run.tracks[column], column, smoothing, axis, reach, buckets, is_open=is_open
            )
            for column in chart.columns
            if column in run.tracks and len(run.tracks[column])
        ]
        logged = _within(lines, [line.logged for line in lines])
        if not logged:
            return cls(chart, [], False, (0.0, 1.0), style.ascii_only)
        drawn = [*logged, *_within(lines, [line.smoothed or () for line in lines])]
        is_log = chart.can_be_log and style.log_scale and max(logged) > NEAR_ZERO
        low, high = loss_range(log_losses(drawn, logged) if is_log else drawn, is_log)
        if chart.key in SHARES and min(logged) >= _PERCENT[0] and max(logged) <= _PERCENT[1]:
            low, high = _PERCENT
        return cls(chart, lines, is_log, (low, high), style.ascii_only)

    @property
    def has_values(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.lines)

    def layers(self, frame: PlotFrame) -> tuple[list[PlotLayer], PlotLayer]:
        """Marks and lines, the top one first, and the logged values behind them."""
        feet, marks, dashed, solid = (Layer(frame.grid) for _ in range(4))
        raw = Layer(frame.grid)

        def draw(line: _Line, values: Sequence[float], layer: Layer, *, dashes: bool) -> None:
            runs, below = line_segments(line.xs, values, line.breaks, frame.across, frame.down)
            for dots in runs:
                layer.draw(dots, dashed=dashes)
            for dot in below:
                feet.draw([dot])

        for line in self.lines:
            if line.column == VALIDATION:
                draw(line, line.logged, dashed, dashes=True)
                if line.best is not None:
                    at = line.best
                    (dots, _) = line_segments(
                        [line.xs[at]], [line.logged[at]], [False], frame.across, frame.down
                    )
                    for run in dots:
                        marks.draw(run)
            elif line.smoothed is None:
                draw(line, line.logged, solid, dashes=False)
            else:
                draw(line, line.logged, raw, dashes=False)
                draw(line, line.smoothed, solid, dashes=False)
        letters = ("o", "*", ".") if self.ascii_only else (None, None, None)
        return [
            (feet, "training", BELOW_AXIS[self.ascii_only]),
            (marks, "best", BEST[self.ascii_only]),
            (dashed, "validation", letters[0]),
            (solid, "training", letters[1]),
        ], (raw, "raw", letters[2])


def _within(lines: Sequence[_Line], columns: Sequence[Sequence[float]]) -> list[float]:
    """The values in view, or all where none is."""
    inside = [
        value
        for line, column in zip(lines, columns, strict=True)
        for value, is_inside in zip(column, line.inside, strict=False)
        if is_inside
    ]
    return inside or [value for column in columns for value in column]


def title(
    run: MetricRun,
    plot: MetricPlot,
    style: PlotStyle,
    width: int,
    selected: int | None,
    aside: Sequence[str] = (),
) -> list[Span]:
    """The name of a chart and the values at the crosshair, or the last ones; at most `width` cells.

    `aside` are words for the right end, the most important first; as many as fit are shown. The
    first of them matters more than the names of the lines.
    """
    entries = _entries(run, plot.chart, style, len(run) - 1 if selected is None else selected)
    if not plot.rows:
        bad = sum(run.tracks[name].bad for name in plot.chart.columns if name in run.tracks)
        entries = [_Entry("muted", "", "", f"no number, {formats.counted(bad, 'value')} logged")]
    if plot.has_hidden_points:
        entries.append(_Entry("training", BELOW_AXIS[style.ascii_only], "", "0 or less"))
    between = " - " if style.ascii_only else " · "
    least = min(len(aside), 1)
    for with_names, fewest in ((True, least), (False, least), (False, 0)):
        spans = [
            (normalize_width(text, ascii_only=style.ascii_only), role)
            for text, role in _title_spans(plot.chart, entries, with_names=with_names)
        ]
        used = cells_of(spans)
        for kept in range(len(aside), fewest - 1, -1):
            text = between.join(aside[:kept])
            room = width - used - cell_len(text)
            if room >= (2 if text else 0):
                return [*spans, (" " * room, "muted"), (text, "muted")] if text else spans
    whole = "".join(text for text, _ in spans)
    return [(fit(whole, width, ascii_only=style.ascii_only), "value")]


class _Entry(NamedTuple):
    """One line of a chart, in its title."""

    style: str
    sign: str
    name: str
    value: str


def _title_spans(chart: Chart, entries: Sequence[_Entry], *, with_names: bool) -> list[Span]:
    spans: list[Span] = [(chart.label, "heading")]
    for entry in entries:
        spans.append((f"  {entry.sign}" if entry.sign else " ", entry.style))
        if with_names and entry.name:
            spans.append((f" {entry.name}", "muted"))
        spans.append((f" {entry.value}", "value"))
    return spans


def _entries(run: MetricRun, chart: Chart, style: PlotStyle, number: int) -> list[_Entry]:
    """The lines of a chart, the most important first."""
    solid, dots, dashes = ("*", ".", "o") if style.ascii_only else ("━━", "⠒⠒", "╍╍")
    entries: list[_Entry] = []
    for column in chart.columns:
        track = run.tracks.get(column)
        if track is None or not len(track):
            continue
        place = track.place_at(number)
        ends_bad = track.ends_bad and number == len(run) - 1
        value = formats.NO_VALUE if place is None else metric_text(column, track.values[place])
        if ends_bad:
            place, value = None, "not a number"
        if column == VALIDATION:
            entries.append(_Entry("validation", dashes, "validation", value))
        elif chart.is_smoothed and style.smoothing:
            smooth = formats.NO_VALUE
            if place is not None:
                smooth = metric_text(column, track.smoothed([place], style.smoothing)[0])
            entries.append(_Entry("training", solid, SMOOTHED[style.smoothing], smooth))
            entries.append(_Entry("raw", dots, "logged", value))
        else:
            entries.append(_Entry("training", solid, "", value))
    return entries


def cells_of(spans: Sequence[Span]) -> int:
    """The width of spans."""
    return sum(cell_len(text) for text, _ in spans)
