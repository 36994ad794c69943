"""The loss curves of several models in one chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.cells import cell_len
from textual.reactive import reactive

from lora_tui.compare import LETTERS, MOST
from lora_tui.series import Series
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.curve_plot import PlotStyle
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn
from lora_tui.widgets.overlay_plot import Curve, Overlay, curve_of, draw_overlay
from lora_tui.widgets.stars import Span


class OverlayChart(DrawnLines):
    """Says in its first line what is drawn; its height comes from its styles."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading", "muted", "label", "axis", "grid", *(f"series{number}" for number in range(MOST))
    )

    plot_style: reactive[PlotStyle] = reactive(PlotStyle())
    validation: reactive[bool] = reactive(False)
    """The validation losses instead of the training losses."""
    shares: reactive[bool] = reactive(False)
    """Over percent of the run instead of steps."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(OverlayChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._curves: tuple[Series, ...] = ()
        self._drawn: tuple[object, Overlay] | None = None

    def show(self, curves: Sequence[Series]) -> None:
        """Draw these, in the order of the letters; an empty one is not drawn.

        At first over steps, unless some runs would be squeezed into the left half of the chart.
        """
        drawn_before = any(map(len, self._curves))
        self._curves, self._drawn = tuple(curves), None
        lengths = [curve.steps[-1] for curve in self._curves if len(curve)]
        if lengths and not drawn_before:
            self.shares = max(lengths) > 2 * min(lengths)
        self.refresh()

    def toggle_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.plot_style = replace(self.plot_style, log_scale=not self.plot_style.log_scale)

    def toggle_smoothing(self) -> None:
        """The trend of each curve, or the curve as it was logged."""
        self.plot_style = replace(self.plot_style, smoothing=not self.plot_style.smoothing)

    def lines(self, width: int) -> Sequence[Line]:
        """What is drawn, in words; then the plot."""
        height = self.content_size.height
        overlay = self._overlay(width, max(0, height - 1))
        loss = "Validation loss" if self.validation else "Training loss"
        facts = ["smoothed" if self._smooths else "as logged"]
        facts.append("over percent of the run" if self.shares else "over steps")
        if self.plot_style.log_scale:
            facts.append("log scale" if overlay.is_log else "no log scale: not positive")
        between = " - " if self.ascii_only else " · "
        heading: Line = [(loss, "heading"), ("  " + between.join(facts), "muted")]
        if overlay.is_drawn:
            return [_cut(heading, width), *overlay.rows]
        reason = (
            "No validation losses were logged" if self.validation else "No curve is known here yet"
        )
        blank: Line = [("", "muted")]
        text = settled(reason, ascii_only=self.ascii_only)
        indent = " " * max(0, (width - cell_len(text)) // 2)
        return [
            _cut(heading, width),
            *[blank] * max(0, height // 2 - 1),
            [(indent + text, "muted")],
        ]

    @property
    def _smooths(self) -> bool:
        """See `curve_of`."""
        return self.plot_style.smoothing and not self.validation

    def _shown(self, width: int) -> list[Curve]:
        return [
            curve_of(
                series,
                validation=self.validation,
                smoothing=self._smooths,
                shares=self.shares,
                buckets=4 * width,
            )
            for series in self._curves
        ]

    def _overlay(self, width: int, height: int) -> Overlay:
        key = (width, height, self.plot_style, self.validation, self.shares)
        if self._drawn is None or self._drawn[0] != key:
            overlay = draw_overlay(self._shown(width), LETTERS, width, height, self.plot_style)
            self._drawn = (key, overlay)
        return self._drawn[1]


def _cut(line: Line, width: int) -> list[Span]:
    """At most `width` cells of the heading."""
    (first, style), (rest, muted) = line
    return [(first, style), (fit(rest, max(0, width - cell_len(first))), muted)]
