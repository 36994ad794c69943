"""The form for choosing which metrics are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.curves.metrics_series import Chart
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog


class ChosenMetricsScreen(Modal[None]):
    """Calls `changed` with the hidden charts after each choice; escape undoes all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.keep", "dismiss(None)", "Apply", priority=True, show=False),
        bound("metrics.choose", "dismiss(None)", "Apply", priority=True, show=False),
        bound("dialog.undo", "restore", "Undo the changes", show=False),
        bound("dialog.choose", "choose", "Show or hide", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(
        self,
        charts: Sequence[Chart],
        hidden: frozenset[str],
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        super().__init__()
        self._charts, self._changed = charts, changed
        self._before = self._hidden = hidden

    def compose(self) -> ComposeResult:
        """One line for each metric of the run."""
        yield Dialog(
            OptionList(*(Option(self._line(place)) for place in range(len(self._charts)))),
            title="Metrics",
            keys=[("dialog.choose", "shows or hides"), ("dialog.keep", "applies")],
        )

    def on_mount(self) -> None:
        """Start at the first line."""
        self.query_one(OptionList).highlighted = 0

    def action_restore(self) -> None:
        """Undo all changes, and close."""
        self._changed(self._before)
        self.dismiss(None)

    def action_choose(self) -> None:
        """Show or hide the highlighted metric."""
        index = self.query_one(OptionList).highlighted
        if index is not None:
            self._toggle(index)

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        listing = self.query_one(OptionList)
        if lines > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._toggle(event.option_index)

    def _toggle(self, index: int) -> None:
        self._hidden ^= {self._charts[index].key}
        self.query_one(OptionList).replace_option_prompt_at_index(index, self._line(index))
        self._changed(self._hidden)

    def _line(self, place: int) -> Content:
        chart = self._charts[place]
        box = "[ ]" if chart.key in self._hidden else "[x]"
        return Content.assemble((box, "$accent"), f" {chart.label}")
