"""The loss chart: legend, curves and axes, a part of them on wish, and a crosshair that reads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.reactive import reactive

from lora_tui.domain import CurvePoint
from lora_tui.series import Series
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.chart_legend import legend
from lora_tui.widgets.curve_plot import Plot, PlotStyle, Window, draw_curve, with_crosshair
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn, wrapped
from lora_tui.widgets.plot_frame import step_range

_LEGEND_ROWS: Final = 1
_FEWEST: Final = 4
"""Points that the closest view still shows."""
_WHEEL: Final = 1.25
_WHEEL_PAN: Final = 0.1
_NONE: Final = Series.of_points(())


class LossChart(DrawnLines):
    """Shows a curve, or says in words why there is none. Its height comes from its styles."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading",
        "figure",
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

    chosen: reactive[int | None] = reactive(None)
    """Which point the crosshair is at; None for no crosshair."""
    plot_style: reactive[PlotStyle] = reactive(PlotStyle())
    window: reactive[Window | None] = reactive(None)
    """Which part is shown, in steps or seconds; None for the whole run."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(LossChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._series = _NONE
        self._message = ""
        self._drawn: tuple[object, Plot] | None = None
        self._hovering = False
        self._dragged_from: int | None = None

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        return len(self._series) > 0

    @property
    def has_times(self) -> bool:
        """Whether it can be drawn over time."""
        return self._series.seconds is not None

    def show(self, curve: Series | Sequence[CurvePoint], *, otherwise: str = "") -> None:
        """Draw this curve; where there is none to draw, say `otherwise` instead.

        A curve that has grown keeps the view and the crosshair where they are.
        """
        series = curve if isinstance(curve, Series) else Series.of_points(curve)
        if not series.same_as(self._series):
            if len(series) < len(self._series) or (
                len(self._series) and series.steps[0] != self._series.steps[0]
            ):
                self.chosen = self.window = None
            elif self.chosen is not None and len(series) != len(self._series):
                step = self._series.steps[self.chosen]
                self.chosen = min(bisect_left(series.steps, step), len(series) - 1)
            self._series, self._drawn = series, None
        self._message = otherwise
        self.refresh()

    def toggle_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.plot_style = replace(self.plot_style, log_scale=not self.plot_style.log_scale)

    def toggle_smoothing(self) -> None:
        """The smoothed training loss over the logged one, or the logged one alone."""
        self.plot_style = replace(self.plot_style, smoothing=not self.plot_style.smoothing)

    def toggle_time(self) -> None:
        """Over the time since the start, or over steps; the view stays at the same points."""
        if not self.has_times:
            return
        over_time = not self.plot_style.over_time
        numbers = self._plot().numbers if self.window is not None else ()
        self.plot_style = replace(self.plot_style, over_time=over_time)
        if numbers:
            across = self._series.across(over_time=over_time)
            self._look_at(across[numbers[0]], across[numbers[-1]])

    def zoom(self, factor: float, cell: int | None = None) -> None:
        """So many times closer, or farther (below 1): around a cell of the plot.

        Without a cell: around the crosshair, or the middle where there is none.
        """
        if not self.has_curve:
            return
        plot = self._plot()
        low, high = plot.window
        if cell is None:
            cell = self._crosshair_cell(plot)
        share = 0.5 if cell is None else (cell + 0.5) / max(1, plot.width)
        at = low + (high - low) * min(1.0, max(0.0, share))
        self._look_at(at - (at - low) / factor, at + (high - at) / factor)

    def pan(self, share: float) -> None:
        """Move the view by a share of its width."""
        if self.window is None:
            return
        low, high = self.window
        left, right = self._whole
        by = (high - low) * share
        by = max(left - low, min(right - high, by))
        self._look_at(low + by, high + by)

    def show_whole(self) -> None:
        """Back to the whole run."""
        self.window = None

    def hide_crosshair(self) -> None:
        """No crosshair any more."""
        self.chosen = None

    def move_crosshair(self, columns: int) -> None:
        """To the next point left or right that stands in another column of cells.

        The first move puts it at the end of the curve that it comes from; one beyond the edge of
        the view takes the view along.
        """
        plot = self._plot() if self.has_curve else None
        if plot is None or not plot.cells:
            return
        self._hovering = False
        stops = sorted(set(plot.cells))
        cell = self._crosshair_cell(plot)
        if cell is None:
            self._choose_column(stops[0] if columns > 0 else stops[-1])
            return
        place = bisect_left(stops, cell) + columns
        if self.window is not None and not 0 <= place < len(stops):
            self.pan(columns / max(1, plot.width))
            plot = self._plot()
            stops = sorted(set(plot.cells))
            place = len(stops) - 1 if columns > 0 else 0
        if stops:
            self._choose_column(stops[max(0, min(place, len(stops) - 1))])

    def lines(self, width: int) -> Sequence[Line]:
        """Legend, then the plot, as high as the widget is."""
        height = self.content_size.height
        if not self.has_curve:
            return _message_lines(self._message, width, height, ascii_only=self.ascii_only)
        plot = self._plot()
        rows = plot.rows
        cell = self._crosshair_cell(plot)
        if cell is not None:
            rows = with_crosshair(plot, cell, ascii_only=self.ascii_only)
        reading = None if self.chosen is None else self._series.reading(self.chosen)
        left, right = self._whole
        low, high = plot.window
        zoomed = 1.0 if self.window is None else (right - left) / (high - low)
        style = self.plot_style
        return [
            legend(
                style,
                reading,
                width,
                is_log=plot.is_log,
                has_validation=bool(self._series.validation),
                zoomed=zoomed,
                over_time=style.over_time and self.has_times,
            ),
            *rows,
        ]

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The crosshair follows the pointer; with the button held, the curve does."""
        plot, cell = self._under(event)
        if plot is None or cell is None:
            return
        if self._dragged_from is not None and event.button:
            self.pan((self._dragged_from - cell) / max(1, plot.width))
            self._dragged_from = cell
        elif plot.cells:
            self._hovering = True
            self._choose_column(min(plot.cells, key=lambda at: abs(at - cell)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the curve, where a part of it is shown."""
        _, self._dragged_from = self._under(event)
        if self._dragged_from is not None and self.window is not None:
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        """Let go of it."""
        self._dragged_from = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Twice: the whole run."""
        if event.chain == 2:
            self.show_whole()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer, around the pointer; with shift to the left."""
        self._wheel(event, _WHEEL, -_WHEEL_PAN)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Farther; with shift to the right. The whole run leaves the wheel to the page."""
        self._wheel(event, 1 / _WHEEL, _WHEEL_PAN)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """To the left."""
        self._wheel(event, 1.0, -_WHEEL_PAN, pans=True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """To the right."""
        self._wheel(event, 1.0, _WHEEL_PAN, pans=True)

    def on_leave(self) -> None:
        """The crosshair goes with the pointer that brought it."""
        if self._hovering:
            self._hovering = False
            self.chosen = None

    def _wheel(
        self, event: events.MouseEvent, factor: float, share: float, *, pans: bool = False
    ) -> None:
        plot, cell = self._under(event)
        if plot is None or cell is None or (self.window is None and (factor < 1 or pans)):
            return
        if pans or event.shift:
            self.pan(share)
        else:
            self.zoom(factor, cell)
        event.stop()
        event.prevent_default()

    def _under(self, event: events.MouseEvent) -> tuple[Plot | None, int | None]:
        """The plot, and the cell of it that the pointer is at."""
        offset = event.get_content_offset(self)
        if offset is None or not self.has_curve:
            return None, None
        plot = self._plot()
        return plot, offset.x - plot.left

    @property
    def _whole(self) -> Window:
        return step_range(self._series.extent(over_time=self.plot_style.over_time))

    def _look_at(self, low: float, high: float) -> None:
        """Show this part; all of it where that is about the whole run, none too close."""
        left, right = self._whole
        low, high = max(left, low), min(right, high)
        if high - low >= (right - left) * 0.995:
            self.window = None
            return
        over_time = self.plot_style.over_time
        shown = self._series.within(low, high, over_time=over_time)
        if high > low and len(shown) >= min(_FEWEST, len(self._series)):
            self.window = (low, high)

    def _crosshair_cell(self, plot: Plot) -> int | None:
        """Where in the view the crosshair is; None where there is none, or it is elsewhere."""
        if self.chosen is None or not plot.cells:
            return None
        low, high = plot.window
        at = self._series.across(over_time=self.plot_style.over_time)[self.chosen]
        if not low <= at <= high:
            return None
        place = bisect_left(plot.numbers, self.chosen)
        return plot.cells[min(place, len(plot.cells) - 1)]

    def _choose_column(self, cell: int) -> None:
        """The newest of the points that stand there."""
        plot = self._plot()
        self.chosen = max(
            number for number, at in zip(plot.numbers, plot.cells, strict=True) if at == cell
        )

    def _plot(self) -> Plot:
        size = self.content_size
        key = (size, self.plot_style, self.window)
        if self._drawn is None or self._drawn[0] != key:
            plot = draw_curve(
                self._series, size.width, size.height - _LEGEND_ROWS, self.plot_style, self.window
            )
            self._drawn = (key, plot)
        return self._drawn[1]


def _message_lines(message: str, width: int, height: int, *, ascii_only: bool) -> list[Line]:
    lines: list[Line] = [[("Loss", "heading")]]
    texts = wrapped(settled(message, ascii_only=ascii_only), max(1, width - 4))
    lines += [[("", "muted")]] * max(0, (height - len(texts)) // 2 - 1)
    for text in texts:
        indent = " " * max(0, (width - cell_len(text)) // 2)
        lines.append([(fit(indent + text, width, ascii_only=ascii_only), "muted")])
    return lines
