"""The loss chart: legend, curves and axes, and a crosshair that reads values off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.reactive import reactive

from lora_tui import formats
from lora_tui.domain import CurvePoint
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.curve_plot import (
    Plot,
    PlotStyle,
    draw_curve,
    drawable,
    read_values,
    with_crosshair,
)
from lora_tui.widgets.drawn_lines import DrawnLines, Line, wrapped
from lora_tui.widgets.stars import Span

_LEGEND_ROWS: Final = 1


class LossChart(DrawnLines):
    """Shows a curve, or says in words why there is none. Its height comes from its styles."""

    chosen: reactive[int | None] = reactive(None)
    """Which point the crosshair is at; None for no crosshair."""
    plot_style: reactive[PlotStyle] = reactive(PlotStyle())

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(LossChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._points: tuple[CurvePoint, ...] = ()
        self._message = ""
        self._drawn: tuple[object, Plot] | None = None
        self._hovering = False

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._points)

    def show(self, points: Sequence[CurvePoint], *, otherwise: str = "") -> None:
        """Draw these points; where there is none to draw, say `otherwise` instead."""
        before = self._points
        self._points, self._message = drawable(points), otherwise
        self._drawn = None
        if before != self._points:
            self.chosen = None
        self.refresh()

    def toggle_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self.plot_style = replace(self.plot_style, log_scale=not self.plot_style.log_scale)

    def toggle_smoothing(self) -> None:
        """The smoothed training loss over the logged one, or the logged one alone."""
        self.plot_style = replace(self.plot_style, smoothing=not self.plot_style.smoothing)

    def move_crosshair(self, columns: int) -> None:
        """To the next point left or right that stands in another column of cells.

        The first move puts it at the end of the curve that it comes from.
        """
        if not self._points:
            return
        self._hovering = False
        if self.chosen is None:
            self.chosen = 0 if columns > 0 else len(self._points) - 1
            return
        plot = self._plot()
        if not plot.cells:
            return
        stops = sorted(set(plot.cells))
        place = stops.index(plot.cells[self.chosen]) + columns
        self._choose_column(stops[max(0, min(place, len(stops) - 1))])

    def lines(self, width: int) -> Sequence[Line]:
        """Legend, then the plot, as high as the widget is."""
        height = self.content_size.height
        if not self._points:
            return _message_lines(self._message, width, height, ascii_only=self.ascii_only)
        plot = self._plot()
        rows = plot.rows
        if self.chosen is not None and plot.cells:
            rows = with_crosshair(plot, plot.cells[self.chosen], ascii_only=self.ascii_only)
        return [self._legend(width, plot), *rows]

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The crosshair follows the pointer."""
        offset = event.get_content_offset(self)
        plot = self._plot() if self._points else None
        if offset is None or plot is None or not plot.cells:
            return
        self._hovering = True
        cell = offset.x - plot.left
        self._choose_column(min(plot.cells, key=lambda at: abs(at - cell)))

    def on_leave(self) -> None:
        """The crosshair goes with the pointer that brought it."""
        if self._hovering:
            self._hovering = False
            self.chosen = None

    def _choose_column(self, cell: int) -> None:
        """The newest of the points that stand there."""
        cells = self._plot().cells
        self.chosen = max(index for index, at in enumerate(cells) if at == cell)

    def _plot(self) -> Plot:
        size = self.content_size
        key = (size, self.plot_style)
        if self._drawn is None or self._drawn[0] != key:
            plot = draw_curve(self._points, size.width, size.height - _LEGEND_ROWS, self.plot_style)
            self._drawn = (key, plot)
        return self._drawn[1]

    def _legend(self, width: int, plot: Plot) -> Line:
        """What each line is, with its value where the crosshair is."""
        smoothing = self.plot_style.smoothing
        has_validation = any(point.validation_loss is not None for point in self._points)
        solid, dots, dashes = ("*", ".", "o") if self.ascii_only else ("━━", "⠒⠒", "╍╍")
        reading = None if self.chosen is None else read_values(self._points, self.chosen)
        entries: list[tuple[str, str, str, float | None]] = []
        if smoothing:
            entries.append(("training", solid, "smoothed", reading.smoothed if reading else None))
            entries.append(("raw", dots, "logged", reading.training if reading else None))
        else:
            entries.append(("training", solid, "training", reading.training if reading else None))
        if has_validation:
            entries.append(
                ("validation", dashes, "validation", reading.validation if reading else None)
            )
        heading = "Loss" if not plot.is_log else "Loss, log scale"
        spans: list[Span] = [(heading, "heading")]
        if self.plot_style.log_scale and not plot.is_log:
            spans.append((" (no log scale: not positive)", "faint"))
        for style, sign, name, value in entries:
            spans += [("  ", "muted"), (f"{sign} ", style), (name, "muted")]
            if reading is not None:
                spans.append((f" {formats.loss(value)}", "value"))
        spans.append((_position(reading.step) if reading else "", "muted"))
        return _cut(spans, width)


def _position(step: float) -> str:
    return f"  step {step:,.10g}"


def _cut(spans: Sequence[Span], width: int) -> list[Span]:
    """The spans that fit, in order; the last one moves to the right end."""
    *first, last = spans
    room = width - cell_len(last[0])
    kept: list[Span] = []
    for text, style in first:
        if cell_len(text) > room:
            break
        kept.append((text, style))
        room -= cell_len(text)
    return [*kept, (" " * room, "muted"), last]


def _message_lines(message: str, width: int, height: int, *, ascii_only: bool) -> list[Line]:
    lines: list[Line] = [[("Loss", "heading")]]
    texts = wrapped(settled(message, ascii_only=ascii_only), max(1, width - 4))
    lines += [[("", "muted")]] * max(0, (height - len(texts)) // 2 - 1)
    for text in texts:
        indent = " " * max(0, (width - cell_len(text)) // 2)
        lines.append([(fit(indent + text, width, ascii_only=ascii_only), "muted")])
    return lines
