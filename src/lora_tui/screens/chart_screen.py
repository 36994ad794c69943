"""What the screens with a chart share: the keys that look around in it."""

from __future__ import annotations

from typing import Final

from textual.binding import BindingType

from lora_tui.screens.scrolling import ScrollingScreen
from lora_tui.tui.bindings import bound
from lora_tui.widgets.charts.zoomed_chart import ZoomedChart

LOOKING: Final = frozenset(
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


class ChartScreen(ScrollingScreen):
    """Override `chart`; put CHART_KEYS into BINDINGS."""

    @property
    def chart(self) -> ZoomedChart:
        """The one that the keys are for."""
        raise NotImplementedError

    def action_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.chart.toggle_log_scale()

    def action_smoothing(self) -> None:
        """Smooth the training loss, or not."""
        self.chart.toggle_smoothing()

    def action_strength(self) -> None:
        """Smooth more strongly; after the strongest lightly."""
        self.chart.next_strength()

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
