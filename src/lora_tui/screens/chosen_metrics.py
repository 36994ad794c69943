"""The form for choosing which metrics are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.curves.metrics_series import Chart
from lora_tui.screens.checklist import CHECKLIST_KEYS, ChecklistScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog


class ChosenMetricsScreen(ChecklistScreen[frozenset[str]]):
    """Calls `changed` with the hidden charts after each choice; escape undoes all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("metrics.choose", "dismiss(None)", "Apply", priority=True, show=False),
        bound("dialog.choose", "choose", "Show or hide", show=False),
        *CHECKLIST_KEYS,
    ]

    def __init__(
        self,
        charts: Sequence[Chart],
        hidden: frozenset[str],
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        super().__init__(hidden, changed)
        self._charts, self._hidden = charts, hidden

    def compose(self) -> ComposeResult:
        """One line for each metric of the run."""
        yield Dialog(
            OptionList(*(Option(self._line(place)) for place in range(len(self._charts)))),
            title="Metrics",
            keys=[("dialog.choose", "shows or hides"), ("dialog.keep", "applies")],
        )

    def toggle(self, index: int) -> None:
        """See `ChecklistScreen.toggle`."""
        self._hidden ^= {self._charts[index].key}
        self.query_one(OptionList).replace_option_prompt_at_index(index, self._line(index))
        self._changed(self._hidden)

    def _line(self, place: int) -> Content:
        chart = self._charts[place]
        box = "[ ]" if chart.key in self._hidden else "[x]"
        return Content.assemble((box, "$accent"), f" {chart.label}")
