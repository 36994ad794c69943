"""The base of the charts: zoom, pan and a crosshair, by keys and by mouse."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from textual import events
from textual.reactive import reactive

from lora_tui.curves.series import Smoothing
from lora_tui.widgets.charts.curve_plot import PlotStyle, Window
from lora_tui.widgets.styled_lines import StyledLines

_WHEEL: Final = 1.25
_WHEEL_PAN: Final = 0.1


class DrawnPlot(Protocol):
    """The properties of a drawn plot that zoom and crosshair use."""

    @property
    def left(self) -> int:
        """The first cell of the plot, right of the axis."""

    @property
    def width(self) -> int:
        """Cells of the plot itself."""

    @property
    def window(self) -> Window:
        """The range that the plot covers."""

    @property
    def point_cells(self) -> Sequence[int]:
        """The cells of the plot that contain a point, ascending."""


class ZoomableChart(StyledLines):
    """A chart with zoom, pan and a crosshair; subclasses define the abstract methods."""

    plot_style: reactive[PlotStyle] = reactive(PlotStyle())
    window: reactive[Window | None] = reactive(None)
    """The visible range in x values of the chart; None for the full range."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(ZoomableChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._strength = Smoothing.NORMAL
        self._hovering = False
        self._dragged_from: int | None = None

    @property
    @abstractmethod
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""

    @property
    @abstractmethod
    def drawing(self) -> DrawnPlot | None:
        """The current plot; None without points."""

    @property
    @abstractmethod
    def full_range(self) -> Window:
        """The range of all points."""

    @abstractmethod
    def can_show(self, low: float, high: float) -> bool:
        """Whether a range is large enough to be shown."""

    @abstractmethod
    def crosshair_cell(self) -> int | None:
        """The cell of the crosshair; None without one or outside the view."""

    @abstractmethod
    def move_crosshair_to(self, cell: int) -> None:
        """Move the crosshair to the points in a cell of the plot."""

    @abstractmethod
    def hide_crosshair(self) -> None:
        """Remove the crosshair."""

    @property
    def zoom_factor(self) -> float:
        """The full range divided by the visible range."""
        left, right = self.full_range
        return 1.0 if self.window is None else (right - left) / (self.window[1] - self.window[0])

    def toggle_log_scale(self) -> None:
        """Switch between a logarithmic and a linear loss axis."""
        self.plot_style = replace(self.plot_style, log_scale=not self.plot_style.log_scale)

    def toggle_smoothing(self) -> None:
        """Switch between the smoothed and the logged training loss."""
        self._smooth(Smoothing.OFF if self.plot_style.smoothing else self._strength)

    def next_smoothing(self) -> None:
        """Smooth more strongly; after the strongest comes the lightest."""
        after = self._strength + 1 if self.plot_style.smoothing else self._strength
        self._strength = Smoothing(after) if after <= max(Smoothing) else Smoothing.LIGHT
        self._smooth(self._strength)

    def _smooth(self, strength: Smoothing) -> None:
        self.plot_style = replace(self.plot_style, smoothing=strength)

    def zoom(self, factor: float, cell: int | None = None) -> None:
        """Zoom in by `factor`, or out if it is below 1, around a cell of the plot.

        Without a cell: around the crosshair, or the middle without a crosshair.
        """
        plot = self.drawing
        if plot is None:
            return
        low, high = plot.window
        if cell is None:
            cell = self.crosshair_cell()
        share = 0.5 if cell is None else (cell + 0.5) / max(1, plot.width)
        at = low + (high - low) * min(1.0, max(0.0, share))
        self.set_window(at - (at - low) / factor, at + (high - at) / factor)

    def pan(self, share: float) -> None:
        """Move the view by a share of its width."""
        if self.window is None:
            return
        low, high = self.window
        left, right = self.full_range
        by = (high - low) * share
        by = max(left - low, min(right - high, by))
        self.set_window(low + by, high + by)

    def show_whole(self) -> None:
        """Show the full range."""
        self.window = None

    def set_window(self, low: float, high: float) -> None:
        """Show a range; a range that is too small is ignored."""
        left, right = self.full_range
        low, high = max(left, low), min(right, high)
        if high - low >= (right - left) * 0.995:
            self.window = None
        elif high > low and self.can_show(low, high):
            self.window = (low, high)

    def move_crosshair(self, columns: int) -> None:
        """Move the crosshair to the next cells with a point, left or right.

        The first move puts it at the left or right end; a move beyond the edge pans the view.
        """
        plot = self.drawing
        if plot is None or not plot.point_cells:
            return
        self._hovering = False
        point_cells = plot.point_cells
        cell = self.crosshair_cell()
        if cell is None:
            self.move_crosshair_to(point_cells[0] if columns > 0 else point_cells[-1])
            return
        place = bisect_left(point_cells, cell) + columns
        if self.window is not None and not 0 <= place < len(point_cells):
            self.pan(columns / max(1, plot.width))
            moved = self.drawing
            point_cells = moved.point_cells if moved is not None else ()
            place = len(point_cells) - 1 if columns > 0 else 0
        if point_cells:
            self.move_crosshair_to(point_cells[max(0, min(place, len(point_cells) - 1))])

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the crosshair to the pointer; with the button held, pan the curve."""
        plot, cell = self._under(event)
        if plot is None or cell is None:
            return
        if self._dragged_from is not None and event.button:
            self.pan((self._dragged_from - cell) / max(1, plot.width))
            self._dragged_from = cell
        elif plot.point_cells:
            self._hovering = True
            self.move_crosshair_to(min(plot.point_cells, key=lambda at: abs(at - cell)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Start to pan, if a part of the curve is shown."""
        _, self._dragged_from = self._under(event)
        if self._dragged_from is not None and self.window is not None:
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        """End panning."""
        self._dragged_from = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """A double click shows the full range."""
        if event.chain == 2:
            self.show_whole()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in around the pointer; with shift, pan left."""
        self._wheel(event, _WHEEL, -_WHEEL_PAN)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out; with shift, pan right. In the full range the page scrolls instead."""
        self._wheel(event, 1 / _WHEEL, _WHEEL_PAN)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """Pan left."""
        self._wheel(event, 1.0, -_WHEEL_PAN, pans=True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """Pan right."""
        self._wheel(event, 1.0, _WHEEL_PAN, pans=True)

    def on_leave(self) -> None:
        """Remove a crosshair that followed the pointer."""
        if self._hovering:
            self._hovering = False
            self.hide_crosshair()

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

    def _under(self, event: events.MouseEvent) -> tuple[DrawnPlot | None, int | None]:
        """The plot and its cell under the pointer."""
        offset = event.get_content_offset(self)
        plot = self.drawing
        if offset is None or plot is None:
            return None, None
        return plot, offset.x - plot.left
