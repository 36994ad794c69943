"""What the charts share: a part of the curve on wish, and a crosshair, by keys and by mouse."""

from __future__ import annotations

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
    """A drawn plot, as far as looking around in it goes."""

    @property
    def left(self) -> int:
        """The cell of the widget where the plot begins, right of the axis."""

    @property
    def width(self) -> int:
        """Cells of the plot itself."""

    @property
    def window(self) -> Window:
        """What the plot reaches from and to."""

    @property
    def point_cells(self) -> Sequence[int]:
        """The cells of the plot that a point stands in, ascending."""


class ZoomableChart(StyledLines):
    """Override what raises NotImplementedError here."""

    plot_style: reactive[PlotStyle] = reactive(PlotStyle())
    window: reactive[Window | None] = reactive(None)
    """Which part is shown, in what the chart is drawn over; None for the whole."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(ZoomableChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._strength = Smoothing.NORMAL
        self._hovering = False
        self._dragged_from: int | None = None

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        raise NotImplementedError

    @property
    def drawing(self) -> DrawnPlot | None:
        """What is drawn now; None where nothing is."""
        raise NotImplementedError

    @property
    def full_range(self) -> Window:
        """From where to where there is something to see."""
        raise NotImplementedError

    def can_show(self, low: float, high: float) -> bool:
        """Whether a part is not too small to be looked at."""
        raise NotImplementedError

    def crosshair_cell(self) -> int | None:
        """Where in the view the crosshair is; None where there is none, or it is elsewhere."""
        raise NotImplementedError

    def move_crosshair_to(self, cell: int) -> None:
        """Put the crosshair at what stands in a cell of the plot."""
        raise NotImplementedError

    def hide_crosshair(self) -> None:
        """No crosshair any more."""
        raise NotImplementedError

    @property
    def zoom_factor(self) -> float:
        """How many times closer than the whole the view is."""
        left, right = self.full_range
        return 1.0 if self.window is None else (right - left) / (self.window[1] - self.window[0])

    def toggle_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.plot_style = replace(self.plot_style, log_scale=not self.plot_style.log_scale)

    def toggle_smoothing(self) -> None:
        """The trend of the training loss, or the loss as it was logged."""
        self._smooth(Smoothing.OFF if self.plot_style.smoothing else self._strength)

    def next_smoothing(self) -> None:
        """Smoothed more strongly; from the strongest to the lightest."""
        after = self._strength + 1 if self.plot_style.smoothing else self._strength
        self._strength = Smoothing(after) if after <= max(Smoothing) else Smoothing.LIGHT
        self._smooth(self._strength)

    def _smooth(self, strength: Smoothing) -> None:
        self.plot_style = replace(self.plot_style, smoothing=strength)

    def zoom(self, factor: float, cell: int | None = None) -> None:
        """So many times closer, or farther (below 1): around a cell of the plot.

        Without a cell: around the crosshair, or the middle where there is none.
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
        """Back to the whole."""
        self.window = None

    def set_window(self, low: float, high: float) -> None:
        """Show this part; all of it where that is about the whole, none too close."""
        left, right = self.full_range
        low, high = max(left, low), min(right, high)
        if high - low >= (right - left) * 0.995:
            self.window = None
        elif high > low and self.can_show(low, high):
            self.window = (low, high)

    def move_crosshair(self, columns: int) -> None:
        """To the next point left or right that stands in another column of cells.

        The first move puts it at the end of the curve that it comes from; one beyond the edge of
        the view takes the view along.
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
        """The crosshair follows the pointer; with the button held, the curve does."""
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
        """Take hold of the curve, where a part of it is shown."""
        _, self._dragged_from = self._under(event)
        if self._dragged_from is not None and self.window is not None:
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        """Let go of it."""
        self._dragged_from = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Twice: the whole."""
        if event.chain == 2:
            self.show_whole()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer, around the pointer; with shift to the left."""
        self._wheel(event, _WHEEL, -_WHEEL_PAN)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Farther; with shift to the right. The whole leaves the wheel to the page."""
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
        """The plot, and the cell of it that the pointer is at."""
        offset = event.get_content_offset(self)
        plot = self.drawing
        if offset is None or plot is None:
            return None, None
        return plot, offset.x - plot.left
