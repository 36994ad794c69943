"""The loss curves of several models in one chart, with their values at the crosshair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.reactive import reactive

from lora_tui import formats
from lora_tui.curves.series import Series, Smoothing
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.compare import LETTERS
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.charts.curve_plot import Window
from lora_tui.widgets.charts.legend import SMOOTHED
from lora_tui.widgets.charts.overlay_plot import (
    Curve,
    Overlay,
    draw_overlay,
    overlay_curve,
    step_at,
)
from lora_tui.widgets.charts.plot_frame import BELOW_AXIS, crossed_rows, step_range
from lora_tui.widgets.charts.zoomable_chart import ZoomableChart
from lora_tui.widgets.styled_lines import Line, Span, line_styles

_CLOSEST: Final = 2000.0
"""The largest zoom factor."""


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
        values = [formats.loss(value) for value in self.readings()]
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
        return Smoothing.OFF if self.validation else self.plot_style.smoothing

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
        view = (self.plot_style, self.validation, self.by_percent, self.window, self.front_curve)
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


def _cut(spans: Sequence[Span], width: int) -> list[Span]:
    """The first spans that fit as a whole."""
    kept: list[Span] = []
    for text, style in spans:
        if sum(cell_len(kept_text) for kept_text, _ in kept) + cell_len(text) > width:
            break
        kept.append((text, style))
    return kept
