"""The loss curves of several models in one chart, with the value of each at the crosshair."""

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
"""So many times closer than the whole one may look."""


class OverlayChart(ZoomableChart):
    """Says in its first line what is drawn; its height comes from its styles."""

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
    """The step, or the percent of the run, that the crosshair is at; None for no crosshair."""
    front_curve: reactive[int | None] = reactive(None)
    """The place of the curve that lies over the others; None for that of the first."""
    validation: reactive[bool] = reactive(False)
    """The validation losses instead of the training losses."""
    by_percent: reactive[bool] = reactive(False)
    """Over percent of the run instead of steps."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._curves: tuple[Series, ...] = ()
        self._drawn: tuple[object, Overlay] | None = None
        self._axis_chosen = False

    def show(self, curves: Sequence[Series]) -> None:
        """Draw these, in the order of the letters; an empty one is not drawn.

        Until somebody chooses it is over steps, unless some runs would be squeezed into the left
        half of the chart.
        """
        self._curves, self._drawn = tuple(curves), None
        lengths = [curve.steps[-1] for curve in self._curves if len(curve)]
        if lengths and not self._axis_chosen:
            self._draw_over(by_percent=max(lengths) > 2 * min(lengths))
        self.refresh()

    def toggle_percent(self) -> None:
        """Over percent of the run, or over steps; either way all of it."""
        self._axis_chosen = True
        self._draw_over(by_percent=not self.by_percent)

    @property
    def has_curve(self) -> bool:
        """Whether any of what is wanted was logged."""
        return any(len(s.validation if self.validation else s.steps) for s in self._curves)

    @property
    def drawing(self) -> Overlay | None:
        """The plot."""
        return self._overlay() if self.has_curve else None

    @property
    def full_range(self) -> Window:
        """From the first step of any run to the last of any."""
        if self.by_percent:
            return (0.0, 100.0)
        ends = [end for s in self._curves if len(s) for end in s.extent(over_time=False)]
        return step_range(ends) if ends else (0.0, 1.0)

    def can_show(self, low: float, high: float) -> bool:
        """Whether it is not too close."""
        left, right = self.full_range
        return (high - low) * _CLOSEST >= right - left

    def crosshair_cell(self) -> int | None:
        """The cell of the newest point up to `at`."""
        overlay = self.drawing
        if overlay is None or self.crosshair is None:
            return None
        low, high = overlay.window
        if not overlay.columns or not low <= self.crosshair <= high:
            return None
        at = self.crosshair
        return min(overlay.point_cells, key=lambda cell: abs(overlay.columns[cell] - at))

    def move_crosshair_to(self, cell: int) -> None:
        """Read the values at the last point that stands there."""
        self.crosshair = self._overlay().columns[cell]

    def hide_crosshair(self) -> None:
        """Nothing is read any more."""
        self.crosshair = None

    def readings(self) -> list[float | None]:
        """What each curve is at the crosshair; None before it begins and after it ends."""
        return [self._reading(series) for series in self._curves]

    def lines(self, width: int) -> Sequence[Line]:
        """What is drawn, or what is read at the crosshair; then the plot."""
        height = self.content_size.height
        overlay = self._overlay()
        cell = self.crosshair_cell()
        heading = self._what(overlay, width) if cell is None else self._read(width)
        if overlay.has_curve:
            rows = overlay.rows
            if cell is not None:
                rows = crossed_rows(rows, overlay.left + cell, ascii_only=self.ascii_only)
            return [heading, *rows]
        reason = (
            "No validation losses were logged" if self.validation else "No curve is known here yet"
        )
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

    def _what(self, overlay: Overlay, width: int) -> Line:
        """Which losses, and how they are drawn."""
        loss = "Validation loss" if self.validation else "Training loss"
        facts = [SMOOTHED[self._smooths]]
        facts.append("over percent of the run" if self.by_percent else "over steps")
        if self.plot_style.log_scale:
            facts.append("log scale" if overlay.is_log else "no log scale: not positive")
            if overlay.has_hidden_points:
                facts.append(f"{BELOW_AXIS[self.ascii_only]} 0 or less")
        if self.zoom_factor > 1:
            facts.insert(0, f"{self.zoom_factor:,.3g}{'x' if self.ascii_only else '×'}")
        text = "  " + (" - " if self.ascii_only else " · ").join(facts)
        return [(loss, "heading"), (fit(text, max(0, width - cell_len(loss))), "muted")]

    def _read(self, width: int) -> Line:
        """The place, and each model's letter and value; closer together where there is no room."""
        number = f"{self.crosshair:,.10g}" if not self.by_percent else f"{self.crosshair:.1f} %"
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
        """See `overlay_curve`."""
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
    """As many whole spans as fit."""
    kept: list[Span] = []
    for text, style in spans:
        if sum(cell_len(kept_text) for kept_text, _ in kept) + cell_len(text) > width:
            break
        kept.append((text, style))
    return kept
