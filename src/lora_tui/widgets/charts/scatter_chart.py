"""The scatter plot as a widget: a crosshair that goes from point to point, by keys and by mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.geometry import Size
from textual.message import Message

from lora_tui.reports import LETTERS
from lora_tui.widgets.charts.effect_points import RunPoints
from lora_tui.widgets.charts.scatter_plot import Scatter, draw_scatter, with_crosshair
from lora_tui.widgets.styled_lines import Line, StyledLines, line_styles


class ScatterChart(StyledLines):
    """Shows points; its styles set its height. Posts `Moved` when the crosshair moves."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        *("heading", "strong", "muted", "label", "axis", "grid", "raw", "training", "best"),
        "crosshair",
        *(f"series{number}" for number in range(len(LETTERS))),
    )

    class Moved(Message):
        """The crosshair is at another run, or at none."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._points: RunPoints | None = None
        self._drawn: tuple[Size, Scatter] | None = None
        self._selected: int | None = None
        """A point."""

    def show(self, points: RunPoints, run: int | None = None) -> None:
        """Draw these points, with the crosshair at a run."""
        self._points, self._drawn = points, None
        self._selected = None if run is None else self._point_of(run)
        self.refresh()

    @property
    def run(self) -> int | None:
        """The run at the crosshair, by its number; None without a crosshair."""
        if self._points is None or self._selected is None:
            return None
        return self._points.runs[self._selected]

    @property
    def place_here(self) -> tuple[int, int]:
        """Which of how many runs in the cell of the crosshair it is; (0, 0) without one."""
        here = self._here()
        if self._selected is None or self._selected not in here:
            return (0, 0)
        return here.index(self._selected) + 1, len(here)

    def move(self, right: int, down: int) -> None:
        """Move to the nearest points in a direction; the first move begins at the far end."""
        plot = self.plot()
        if plot is None:
            return
        cell = None if self._selected is None else plot.cell_of(self._selected)
        self._go_to(plot, plot.next_cell(cell, right, down))

    def next_here(self) -> None:
        """Go to the next run in the same cell, after the last to the first."""
        here = self._here()
        if self._selected in here and len(here) > 1:
            self._selected = here[(here.index(self._selected) + 1) % len(here)]
            self._moved()

    def on_click(self, event: events.Click) -> None:
        """Move to the points nearest to the pointer; again there: the next one."""
        plot, offset = self.plot(), event.get_content_offset(self)
        if plot is None or offset is None:
            return
        cell = plot.nearest(offset.x - plot.left, offset.y - len(plot.legend))
        if cell is not None and self._selected in plot.points_in[cell]:
            self.next_here()
        else:
            self._go_to(plot, cell)

    def lines(self, width: int) -> Sequence[Line]:
        """The legend and the plot; blank without points."""
        del width
        plot = self.plot()
        if plot is None:
            return []
        cell = None if self._selected is None else plot.cell_of(self._selected)
        if cell is None:
            return [*plot.legend, *plot.rows]
        return [*plot.legend, *with_crosshair(plot, cell, ascii_only=self.ascii_only)]

    def _go_to(self, plot: Scatter, cell: int | None) -> None:
        if cell is not None:
            self._selected = plot.points_in[cell][0]
            self._moved()

    def _moved(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def _here(self) -> Sequence[int]:
        plot = self.plot()
        cell = plot.cell_of(self._selected) if plot and self._selected is not None else None
        return plot.points_in[cell] if plot and cell is not None else ()

    def plot(self) -> Scatter | None:
        """What is drawn; None before there are points."""
        if self._points is None:
            return None
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            plot = draw_scatter(
                self._points.placed, size.width, size.height, ascii_only=self.ascii_only
            )
            self._drawn = (size, plot)
        return self._drawn[1]

    def _point_of(self, run: int) -> int | None:
        runs = self._points.runs if self._points else ()
        return runs.index(run) if run in runs else None
