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
"""Actions that need a curve."""
_ZOOM: Final = 2.0


CHART_KEYS: Final[tuple[BindingType, ...]] = (
    bound("chart.log_scale", "log_scale", "Log", tooltip="Logarithmic or linear loss axis"),
    bound("chart.zoom_in", "zoom(1)", "Zoom", key_display="+-", tooltip="Zoom in"),
    bound("chart.zoom_out", "zoom(-1)", "Zoom out", show=False),
    bound("chart.whole_run", "whole_run", "Show the whole run", show=False),
    bound(
        "chart.read_right",
        "crosshair(1)",
        "Crosshair",
        key_display="←→",
        tooltip="Move the crosshair right",
    ),
    bound("chart.smoothing", "smoothing", "Show or hide the smoothed loss", show=False),
    bound("chart.strength", "strength", "Change the strength of smoothing", show=False),
    bound("chart.read_left", "crosshair(-1)", "Move the crosshair left", show=False),
    bound(
        "chart.read_far_right", "crosshair(10)", "Move the crosshair ten columns right", show=False
    ),
    bound(
        "chart.read_far_left", "crosshair(-10)", "Move the crosshair ten columns left", show=False
    ),
    bound("chart.later", "pan(1)", "Show later steps", show=False),
    bound("chart.earlier", "pan(-1)", "Show earlier steps", show=False),
)
"""For the BINDINGS of the screen, at their place in the footer."""


class Scrolled(VerticalScroll, can_focus=False):
    """A part that scrolls by the screen's keys, and has no focus."""


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
        """The part that scrolls."""

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
        """The chart of the keys."""

    def action_log_scale(self) -> None:
        """Switch between a logarithmic and a linear loss axis."""
        self.chart.toggle_log_scale()

    def action_smoothing(self) -> None:
        """Show or hide the smoothed loss."""
        self.chart.toggle_smoothing()

    def action_strength(self) -> None:
        """Change to the next strength; after the strongest comes the weakest."""
        self.chart.next_smoothing()

    def action_zoom(self, by: int) -> None:
        """Zoom in (1) or out (-1) around the crosshair."""
        self.chart.zoom(_ZOOM**by)

    def action_pan(self, by: int) -> None:
        """Move by half a view."""
        self.chart.pan(by / 2)

    def action_whole_run(self) -> None:
        """Show the whole run."""
        self.chart.show_whole()

    def action_crosshair(self, columns: int) -> None:
        """Move the crosshair."""
        self.chart.move_crosshair(columns)
