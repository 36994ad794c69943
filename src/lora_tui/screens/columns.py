"""The form for choosing the columns of the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.checklist import CHECKLIST_KEYS, ChecklistScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.row_columns import ColumnSet


class ColumnScreen(ChecklistScreen[tuple[str, ...]]):
    """Calls `changed` after each choice, so that the list changes at once; escape undoes all.

    An empty tuple of columns means automatic; `shown` are the columns that this gives now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("models.columns", "dismiss(None)", "Apply", priority=True, show=False),
        bound("columns.automatic", "automatic", "Choose automatically", show=False),
        bound("dialog.choose", "choose", "Select or deselect", show=False),
        *CHECKLIST_KEYS,
    ]

    def __init__(
        self,
        columns: ColumnSet[Any],
        before: tuple[str, ...],
        shown: Sequence[str],
        changed: Callable[[tuple[str, ...]], None],
    ) -> None:
        super().__init__(before, changed)
        self._columns = columns
        self._choices = columns.columns[1:]  # the first is always shown
        self._best = frozenset(shown)
        self._chosen: set[str] | None = set(before) or None

    def compose(self) -> ComposeResult:
        """One line per column."""
        yield Dialog(
            Label(self._mode(), id="columns-mode", classes="dialog-heading"),
            OptionList(*(Option(self._line(place)) for place in range(len(self._choices)))),
            title="Columns",
            keys=[("columns.automatic", "automatic"), ("dialog.keep", "applies")],
        )

    def action_automatic(self) -> None:
        """Let the list choose the columns."""
        self._chosen = None
        self._tell()

    def toggle(self, index: int) -> None:
        """See `ChecklistScreen.toggle`."""
        if self._chosen is None:
            self._chosen = set(self._best)
        self._chosen ^= {self._choices[index].key}
        self._tell()

    def _tell(self) -> None:
        listing = self.query_one(OptionList)
        for place in range(len(self._choices)):
            listing.replace_option_prompt_at_index(place, self._line(place))
        self.query_one("#columns-mode", Label).update(self._mode())
        chosen = () if self._chosen is None else self._valid()
        self._changed(chosen)

    def _valid(self) -> tuple[str, ...]:
        first = self._columns.columns[0].key
        return self._columns.valid_keys({first, *(self._chosen or ())})

    def _mode(self) -> str:
        return "Automatic: the columns that fit" if self._chosen is None else "The chosen columns"

    def _line(self, place: int) -> Content:
        column = self._choices[place]
        is_shown = column.key in (self._best if self._chosen is None else self._chosen)
        box = "[x]" if is_shown else "[ ]"
        style = "$secondary" if self._chosen is None else "$accent"
        return Content.assemble((box, style), f" {column.label}")
