"""Base class of the screens with a chart: keys that scroll the page and keys for the chart."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import BindingType
from textual.containers import VerticalScroll

from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import bound

if TYPE_CHECKING:
    from lora_tui.widgets.charts.zoomable_chart import ZoomableChart

CHART_ACTIONS: Final = frozenset(
    {"log_scale", "smoothing", "strength", "crosshair", "zoom", "pan", "whole_run"}
)
"""The actions that need a curve."""
_ZOOM: Final = 2.0


CHART_KEYS: Final[tuple[BindingType, ...]] = (
    bound("chart.log_scale", "log_scale", "Log", tooltip="Losses on a logarithmic axis, or back"),
    bound("chart.zoom_in", "zoom(1)", "Zoom", key_display="+-", tooltip="Zoom in"),
    bound("chart.zoom_out", "zoom(-1)", "Zoom out", show=False),
    bound("chart.whole_run", "whole_run", "Show the whole run", show=False),
    bound("chart.read_right", "crosshair(1)", "Read", key_display="←→", tooltip="Read values off"),
    bound("chart.smoothing", "smoothing", "Trend over the losses, or losses alone", show=False),
    bound("chart.strength", "strength", "Smooth more, from the strongest to light", show=False),
    bound("chart.read_left", "crosshair(-1)", "Read to the left", show=False),
    bound("chart.read_far_right", "crosshair(10)", "Ten columns right", show=False),
    bound("chart.read_far_left", "crosshair(-10)", "Ten columns left", show=False),
    bound("chart.later", "pan(1)", "Later part of the run", show=False),
    bound("chart.earlier", "pan(-1)", "Earlier part of the run", show=False),
)
"""Among the BINDINGS of such a screen, where they are to stand in its footer."""


class Scrolled(VerticalScroll, can_focus=False):
    """A part that scrolls; the screen's keys move it."""


class ChartScreen(CacheScreen):
    """Override `chart` and `scrolled`; put CHART_KEYS into BINDINGS."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("scroll.down", "scroll(1)", "Down", show=False),
        bound("scroll.up", "scroll(-1)", "Up", show=False),
        bound("scroll.page_down", "page(1)", "Next page", show=False),
        bound("scroll.page_up", "page(-1)", "Previous page", show=False),
        bound("scroll.top", "top", "To the top", show=False),
        bound("scroll.bottom", "bottom", "To the bottom", show=False),
    ]

    @property
    @abstractmethod
    def scrolled(self) -> Scrolled:
        """The part that the keys move."""

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.scrolled.scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, one line of overlap."""
        part = self.scrolled
        part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)

    def action_top(self) -> None:
        """Scroll to the top."""
        self.scrolled.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Scroll to the bottom."""
        self.scrolled.scroll_end(animate=False)

    @property
    @abstractmethod
    def chart(self) -> ZoomableChart:
        """The one that the keys are for."""

    def action_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.chart.toggle_log_scale()

    def action_smoothing(self) -> None:
        """Smooth the training loss, or not."""
        self.chart.toggle_smoothing()

    def action_strength(self) -> None:
        """Smooth more strongly; after the strongest lightly."""
        self.chart.next_smoothing()

    def action_zoom(self, by: int) -> None:
        """Closer or farther, around the crosshair."""
        self.chart.zoom(_ZOOM**by)

    def action_pan(self, by: int) -> None:
        """Half a view later or earlier."""
        self.chart.pan(by / 2)

    def action_whole_run(self) -> None:
        """The whole run again."""
        self.chart.show_whole()

    def action_crosshair(self, columns: int) -> None:
        """Move the crosshair."""
        self.chart.move_crosshair(columns)
