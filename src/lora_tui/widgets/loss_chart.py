"""The loss chart: legend, curves and axes, and a crosshair that reads values off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.reactive import reactive

from lora_tui import formats
from lora_tui.domain import CurvePoint
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.curve_plot import (
    Plot,
    PlotStyle,
    Reading,
    draw_curve,
    drawable,
    read_values,
    smoothed_losses,
    with_crosshair,
)
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn, wrapped
from lora_tui.widgets.stars import Span

_LEGEND_ROWS: Final = 1


class LossChart(DrawnLines):
    """Shows a curve, or says in words why there is none. Its height comes from its styles."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading",
        "figure",
        "value",
        "muted",
        "label",
        "axis",
        "raw",
        "training",
        "validation",
        "crosshair",
    )

    chosen: reactive[int | None] = reactive(None)
    """Which point the crosshair is at; None for no crosshair."""
    plot_style: reactive[PlotStyle] = reactive(PlotStyle())

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.set_reactive(LossChart.plot_style, PlotStyle(ascii_only=ascii_only))
        self._points: tuple[CurvePoint, ...] = ()
        self._trend: list[float] = []
        self._message = ""
        self._drawn: tuple[object, Plot] | None = None
        self._hovering = False

    @property
    def has_curve(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._points)

    def show(self, points: Sequence[CurvePoint], *, otherwise: str = "") -> None:
        """Draw these points; where there is none to draw, say `otherwise` instead."""
        shown = drawable(points)
        if shown != self._points:
            self._points, self._trend, self._drawn = shown, smoothed_losses(shown), None
            self.chosen = None
        self._message = otherwise
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
            plot = draw_curve(
                self._points, size.width, size.height - _LEGEND_ROWS, self.plot_style, self._trend
            )
            self._drawn = (key, plot)
        return self._drawn[1]

    def _legend(self, width: int, plot: Plot) -> Line:
        """What each line is, with its value where the crosshair is."""
        reading = (
            None if self.chosen is None else read_values(self._points, self.chosen, self._trend)
        )
        if reading is None:
            heading: Span = ("Loss", "heading")
        else:
            heading = (f"step {reading.step:,.10g}", "figure")
        scale = ""
        if self.plot_style.log_scale:
            scale = "log scale" if plot.is_log else "no log scale: not positive"
        entries = self._entries(reading)
        named = [heading, *_entry_spans(entries, with_names=True)]
        if _cells(named) > width:
            named = [heading, *_entry_spans(entries, with_names=False)]
        room = width - _cells(named) - cell_len(scale)
        return named if room < 2 or not scale else [*named, (" " * room, "muted"), (scale, "muted")]

    def _entries(self, reading: Reading | None) -> list[_Entry]:
        """The lines that are drawn, the most important first."""
        solid, dots, dashes = ("*", ".", "o") if self.ascii_only else ("━━", "⠒⠒", "╍╍")
        smoothing = self.plot_style.smoothing
        entries = [
            _Entry("training", solid, "smoothed", reading.smoothed if reading else None)
            if smoothing
            else _Entry("training", solid, "training", reading.training if reading else None)
        ]
        if smoothing:
            entries.append(_Entry("raw", dots, "logged", reading.training if reading else None))
        if any(point.validation_loss is not None for point in self._points):
            value = reading.validation if reading else None
            entries.append(_Entry("validation", dashes, "validation", value))
        return [replace(entry, is_read=reading is not None) for entry in entries]


@dataclass(frozen=True)
class _Entry:
    """One line of the chart in the legend."""

    style: str
    sign: str
    name: str
    value: float | None
    is_read: bool = False


def _entry_spans(entries: Sequence[_Entry], *, with_names: bool) -> list[Span]:
    spans: list[Span] = []
    for entry in entries:
        spans.append((f"  {entry.sign}", entry.style))
        if with_names:
            spans.append((f" {entry.name}", "muted"))
        if entry.is_read:
            spans.append((f" {formats.loss(entry.value)}", "value"))
    return spans


def _cells(spans: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)


def _message_lines(message: str, width: int, height: int, *, ascii_only: bool) -> list[Line]:
    lines: list[Line] = [[("Loss", "heading")]]
    texts = wrapped(settled(message, ascii_only=ascii_only), max(1, width - 4))
    lines += [[("", "muted")]] * max(0, (height - len(texts)) // 2 - 1)
    for text in texts:
        indent = " " * max(0, (width - cell_len(text)) // 2)
        lines.append([(fit(indent + text, width, ascii_only=ascii_only), "muted")])
    return lines
