"""The loss chart of one model: legend, curves, axes, zoom and a crosshair."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.reactive import reactive

from lora_tui.curves.series import Series, Smoothing
from lora_tui.domain import CurvePoint
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.charts.curve_plot import Plot, Window, draw_curve, legend, with_crosshair
from lora_tui.widgets.charts.plot_frame import step_range
from lora_tui.widgets.charts.zoomable_chart import ZoomableChart
from lora_tui.widgets.styled_lines import Line, line_styles

_LEGEND_ROWS: Final = 1
_FEWEST: Final = 4
"""The least number of points that a zoomed view shows."""
_NONE: Final = Series.from_points(())


class LossChart(ZoomableChart):
    """Shows a curve, or a message why there is none. Its styles set its height."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading",
        "strong",
        "value",
        "muted",
        "label",
        "axis",
        "grid",
        "raw",
        "training",
        "validation",
        "best",
        "crosshair",
    )

    selected: reactive[int | None] = reactive(None)
    """The index of the point at the crosshair; None without a crosshair."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._series = _NONE
        self._message = ""
        self._drawn: tuple[object, Plot] | None = None

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        return len(self._series) > 0

    @property
    def has_times(self) -> bool:
        """Whether the curve can be drawn over time."""
        return self._series.seconds is not None

    def show(self, curve: Series | Sequence[CurvePoint], *, otherwise: str = "") -> None:
        """Draw this curve, or the message `otherwise` if it is empty.

        If the curve has only grown, the view and the crosshair stay.
        """
        series = curve if isinstance(curve, Series) else Series.from_points(curve)
        if not series.has_same_points(self._series):
            if len(series) < len(self._series) or (
                len(self._series) and series.steps[0] != self._series.steps[0]
            ):
                self.selected = self.window = None
            elif self.selected is not None and len(series) != len(self._series):
                step = self._series.steps[self.selected]
                self.selected = min(bisect_left(series.steps, step), len(series) - 1)
            self._series, self._drawn = series, None
        self._message = otherwise
        self.refresh()

    def toggle_time(self) -> None:
        """Switch between time since the start and steps; the view keeps its points."""
        if not self.has_times:
            return
        over_time = not self.plot_style.over_time
        numbers = self._plot().numbers if self.window is not None else ()
        self.plot_style = replace(self.plot_style, over_time=over_time)
        if numbers:
            across = self._series.x_values(over_time=over_time)
            self.set_window(across[numbers[0]], across[numbers[-1]])

    def lines(self, width: int) -> Sequence[Line]:
        """The legend, then the plot, in the height of the widget."""
        height = self.content_size.height
        if not self.has_curve:
            return message_lines(self._message, width, height, ascii_only=self.ascii_only)
        plot = self._plot()
        rows = plot.rows
        cell = self.crosshair_cell()
        if cell is not None:
            rows = with_crosshair(plot, cell, ascii_only=self.ascii_only)
        reading = (
            None
            if self.selected is None
            else self._series.reading(self.selected, self.plot_style.smoothing or Smoothing.NORMAL)
        )
        style = self.plot_style
        return [
            legend(
                style,
                reading,
                width,
                is_log=plot.is_log,
                has_validation=bool(self._series.validation),
                has_hidden_points=plot.has_hidden_points,
                zoom_factor=self.zoom_factor,
                over_time=style.over_time and self.has_times,
            ),
            *rows,
        ]

    @property
    def drawing(self) -> Plot | None:
        """The plot."""
        return self._plot() if self.has_curve else None

    @property
    def full_range(self) -> Window:
        """The range of the whole run, in steps or in seconds."""
        return step_range(self._series.extent(over_time=self.plot_style.over_time))

    def can_show(self, low: float, high: float) -> bool:
        """Whether the range contains enough points."""
        shown = self._series.indices_in(low, high, over_time=self.plot_style.over_time)
        return len(shown) >= min(_FEWEST, len(self._series))

    def crosshair_cell(self) -> int | None:
        """The cell of the selected point; None if it is outside the view."""
        plot = self.drawing
        if plot is None or self.selected is None or not plot.cells:
            return None
        low, high = plot.window
        at = self._series.x_values(over_time=self.plot_style.over_time)[self.selected]
        if not low <= at <= high:
            return None
        place = bisect_left(plot.numbers, self.selected)
        return plot.cells[min(place, len(plot.cells) - 1)]

    def move_crosshair_to(self, cell: int) -> None:
        """Select the last of the points in a cell."""
        plot = self._plot()
        self.selected = max(
            number for number, at in zip(plot.numbers, plot.cells, strict=True) if at == cell
        )

    def hide_crosshair(self) -> None:
        """Select no point."""
        self.selected = None

    def _plot(self) -> Plot:
        size = self.content_size
        key = (size, self.plot_style, self.window)
        if self._drawn is None or self._drawn[0] != key:
            plot = draw_curve(
                self._series, size.width, size.height - _LEGEND_ROWS, self.plot_style, self.window
            )
            self._drawn = (key, plot)
        return self._drawn[1]


def message_lines(
    message: str, width: int, height: int, *, ascii_only: bool, heading: str = "Loss"
) -> list[Line]:
    """A heading, and in the middle the reason why there is no curve."""
    lines: list[Line] = [[(heading, "heading")]]
    texts = wrap(normalize_width(message, ascii_only=ascii_only), max(1, width - 4))
    lines += [[("", "muted")]] * max(0, (height - len(texts)) // 2 - 1)
    for text in texts:
        indent = " " * max(0, (width - cell_len(text)) // 2)
        lines.append([(fit(indent + text, width, ascii_only=ascii_only), "muted")])
    return lines
