"""The charts of all metrics of a run under one another, with one crosshair and one zoom."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.geometry import Size
from textual.reactive import reactive

from lora_tui import formats
from lora_tui.curves.metrics_series import Axis, Chart, MetricRun
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.charts.curve_plot import Window
from lora_tui.widgets.charts.loss_chart import message_lines
from lora_tui.widgets.charts.metric_plot import (
    AXIS_WORDS,
    Stack,
    draw_stack,
    full_range,
    title,
)
from lora_tui.widgets.charts.plot_frame import crossed_rows
from lora_tui.widgets.charts.zoomable_chart import ZoomableChart
from lora_tui.widgets.styled_lines import Line, line_styles

_FEWEST: Final = 4
"""The least number of points that a zoomed view shows."""
_TITLE: Final = 1
_LEAST: Final = 6
"""Rows of a chart without the labels of its axis: title, four of plot, axis."""
_LABELS: Final = 1
_SCROLLED: Final = 8
"""The least rows of a chart, with labels, where not all charts fit."""
_MESSAGE: Final = 8


class MetricCharts(ZoomableChart):
    """Shows every chosen metric of a run, or a message why there is none.

    Its height is that of the terminal without the rows that `reserved` says (for the width of the
    charts) are taken by other things, or more where the charts don't fit.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        *("heading", "strong", "value", "muted", "label", "axis", "grid", "raw", "training"),
        *("validation", "best", "crosshair"),
    )

    selected: reactive[int | None] = reactive(None)
    """The index of the point at the crosshair; None without a crosshair."""
    axis: reactive[Axis] = reactive(Axis.STEP)
    hidden: reactive[frozenset[str]] = reactive(frozenset[str]())
    """The keys of the charts that are not shown."""

    def __init__(
        self,
        *,
        ascii_only: bool = False,
        reserved: Callable[[int], int] = lambda _width: 0,
        id: str | None = None,
    ) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.reserved = reserved
        self.note = ""
        """Which points of the run are missing, for the title; set it before `show`."""
        self._run: MetricRun | None = None
        self._message = ""
        self._room = 0
        self._drawn: tuple[object, Stack] | None = None

    # What is shown ------------------------------------------------------------------------------

    def show(self, run: MetricRun | None, *, otherwise: str = "") -> None:
        """Show this run, or the message `otherwise`. View and crosshair stay where it has grown.

        Call it again with the same run when points were added to it.
        """
        before, self._message = self._run, otherwise
        if run is not before:
            selected = self.selected
            self._run = run
            if run is None or before is None or not _continues(run, before):
                self.selected = self.window = None
            elif selected is not None:
                at = bisect_left(run.steps, before.steps[selected])
                self.selected = min(at, len(run) - 1)
        self._drawn = None
        self.refresh(layout=self._height() != self.size.height)

    @property
    def charts(self) -> list[Chart]:
        """The charts of the run that are shown, the loss first."""
        every = self._run.charts if self._run is not None else []
        return [chart for chart in every if chart.key not in self.hidden]

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        return self._run is not None and len(self._run) > 0 and bool(self.charts)

    @property
    def every_chart(self) -> list[Chart]:
        """All charts that the run has, also those that are hidden."""
        return self._run.charts if self._run is not None else []

    @property
    def has_times(self) -> bool:
        """Whether the run can be drawn over time."""
        return self._run is not None and self._run.has_times

    def next_axis(self) -> Axis:
        """Change to the next axis that the run has; the view keeps its points."""
        run = self._run
        if run is None:
            return self.axis
        axes = run.axes
        at = axes.index(self.axis) if self.axis in axes else -1
        self.change_axis(axes[(at + 1) % len(axes)])
        return self.axis

    def change_axis(self, axis: Axis) -> None:
        """Show this on the horizontal axis."""
        run, window, before = self._run, self.window, self.shown_axis
        self.axis = axis
        if run is None or window is None or run.xs(axis) is run.xs(before):
            return
        numbers = run.numbers_in(*window, before)
        self.window = None
        if numbers:
            xs = run.xs(self.shown_axis)
            self.set_window(xs[numbers[0]], xs[numbers[-1]])

    @property
    def shown_axis(self) -> Axis:
        """The chosen axis, or steps where the run has not the chosen one."""
        run = self._run
        return self.axis if run is not None and self.axis in run.axes else Axis.STEP

    def watch_hidden(self) -> None:
        """Take the height of the charts that are left."""
        self.refresh(layout=True)

    # Lines --------------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The height of the terminal without the reserved rows, or more where they don't fit.

        Not that of the container: one that scrolls takes its height from this widget.
        """
        del container
        self._room = max(1, viewport.height - self.reserved(width))
        return self._height()

    def _height(self) -> int:
        heights = chart_heights(len(self.charts), self._room)
        return sum(rows for rows, _ in heights) if self.has_curve else min(_MESSAGE, self._room)

    def lines(self, width: int) -> Sequence[Line]:
        """For each chart its title with the values at the crosshair, and its plot."""
        run = self._run
        if run is None or not self.has_curve:
            message, heading = self._message, "Loss"
            if run is not None and len(run) and self.every_chart and not self.charts:
                key = key_of(self.app, "metrics.choose")
                message, heading = f"All metrics are hidden: {key} chooses some", "Metrics"
            height = self.content_size.height
            return message_lines(
                message, width, height, ascii_only=self.ascii_only, heading=heading
            )
        stack, cell = self._stack(), self.crosshair_cell()
        lines: list[Line] = []
        for number, plot in enumerate(stack.plots):
            aside = self._aside(run, first=number == 0)
            lines.append(title(run, plot, self.plot_style, width, self.selected, aside))
            rows: Sequence[Line] = plot.rows
            if cell is not None and rows:
                rows = _crossed(rows, stack.left + cell, self._is_labelled(number), self.ascii_only)
            lines += rows
            missing = self._heights()[number][0] - _TITLE - len(rows)
            lines += [[(" ", "muted")]] * missing
        return lines

    def _aside(self, run: MetricRun, *, first: bool) -> list[str]:
        """The place of the crosshair, and on the first chart also the note and the options."""
        style = self.plot_style
        words = []
        if self.selected is not None:
            place = run.place_of(self.selected)
            words.append(f"step {formats.step(place.step)}")
        if not first:
            return words
        if self.note:
            words.append(self.note)
        elapsed = place.seconds if self.selected is not None else None
        over_time = self.shown_axis is Axis.TIME
        if elapsed is not None and over_time:
            words.append(formats.duration(elapsed))
        if self.shown_axis is not Axis.STEP:
            words.append(AXIS_WORDS[self.shown_axis])
        if self.zoom_factor > 1:
            words.append(formats.zoom(self.zoom_factor, ascii_only=self.ascii_only))
        if style.log_scale:
            words.append("log scale")
        if self.selected is not None:
            if place.epoch is not None:
                words.append(f"epoch {place.epoch:.2f}")
            if elapsed is not None and not over_time:
                words.append(formats.duration(elapsed))
        return words

    # Zoom and crosshair -------------------------------------------------------------------------

    @property
    def drawing(self) -> Stack | None:
        """The charts; None without points."""
        return self._stack() if self.has_curve else None

    @property
    def full_range(self) -> Window:
        """The range of the whole run, in steps or in seconds."""
        return (0.0, 1.0) if self._run is None else full_range(self._run, self.shown_axis)

    def can_show(self, low: float, high: float) -> bool:
        """Whether the range contains enough points."""
        run = self._run
        if run is None:
            return False
        return len(run.numbers_in(low, high, self.shown_axis)) >= min(_FEWEST, len(run))

    def crosshair_cell(self) -> int | None:
        """The cell of the selected point; None if it is outside the view."""
        stack, run = self.drawing, self._run
        if stack is None or run is None or self.selected is None or not stack.columns:
            return None
        low, high = stack.window
        at = run.xs(self.shown_axis)[self.selected]
        if not low <= at <= high:
            return None
        wanted = round((at - low) / (high - low) * max(0, stack.width - 1))
        place = bisect_right(stack.point_cells, wanted)
        return min(
            stack.point_cells[max(0, place - 2) : place + 1], key=lambda cell: abs(cell - wanted)
        )

    def move_crosshair_to(self, cell: int) -> None:
        """Select the last of the points in a cell."""
        self.selected = self._stack().columns[cell]

    def hide_crosshair(self) -> None:
        """Select no point."""
        self.selected = None

    def _heights(self) -> list[tuple[int, bool]]:
        return chart_heights(len(self.charts), self._room)

    def _is_labelled(self, number: int) -> bool:
        return self._heights()[number][1]

    def _stack(self) -> Stack:
        run = self._run
        assert run is not None
        width = self.content_size.width
        charts, heights = self.charts, self._heights()
        key = (
            width,
            tuple(heights),
            self.plot_style,
            self.axis,
            self.window,
            len(run),
            self.hidden,
        )
        if self._drawn is None or self._drawn[0] != key:
            stack = draw_stack(
                run,
                charts,
                width,
                [(rows - _TITLE, labelled) for rows, labelled in heights],
                self.plot_style,
                self.shown_axis,
                self.window,
            )
            self._drawn = (key, stack)
        return self._drawn[1]


def chart_heights(charts: int, room: int) -> list[tuple[int, bool]]:
    """The rows of each chart with its title, and whether it labels its axis.

    Where all fit, only the last one labels the axis that they share. Else each has labels, and as
    many as fit are seen at once.
    """
    if not charts:
        return []
    if charts * _LEAST + _LABELS <= room:
        each, rest = divmod(room - _LABELS, charts)
        heights = [each + (1 if number < rest else 0) for number in range(charts)]
        return [
            (rows + (_LABELS if number == charts - 1 else 0), number == charts - 1)
            for number, rows in enumerate(heights)
        ]
    each = max(_SCROLLED, room // max(1, room // _SCROLLED))
    return [(each, True)] * charts


def _continues(run: MetricRun, before: MetricRun) -> bool:
    """Whether a run is another state of the same one, with as many points or more."""
    if not len(run) or not len(before):
        return False
    return run.steps[0] == before.steps[0] and len(run) >= len(before)


def _crossed(
    rows: Sequence[Line], column: int, is_labelled: bool, ascii_only: bool
) -> Sequence[Line]:
    """The rows with the crosshair; a chart without labels ends with its axis."""
    whole = [tuple(row) for row in rows]
    if is_labelled:
        return crossed_rows(whole, column, ascii_only=ascii_only)
    return crossed_rows([*whole, ()], column, ascii_only=ascii_only)[:-1]
