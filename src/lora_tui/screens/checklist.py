"""Base class of the forms in which each line is chosen or not: columns, metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from textual import on
from textual.binding import BindingType
from textual.widgets import OptionList

from lora_tui.screens.list_form import ListForm
from lora_tui.widgets.bindings import bound

Choice = TypeVar("Choice")

CHECKLIST_KEYS: Final[tuple[BindingType, ...]] = (
    bound("dialog.keep", "dismiss(None)", "Apply", priority=True, show=False),
    bound("dialog.undo", "restore", "Undo the changes", show=False),
    bound("list.down", "cursor(1)", "Next", show=False),
    bound("list.up", "cursor(-1)", "Previous", show=False),
)
"""For the BINDINGS of a form, which adds the one of `choose` in its own words."""


class ChecklistScreen(ListForm[None], Generic[Choice]):
    """Calls `changed` after each choice; escape undoes all choices.

    A subclass composes an OptionList.
    """

    def __init__(self, before: Choice, changed: Callable[[Choice], None]) -> None:
        super().__init__()
        self._before, self._changed = before, changed

    @abstractmethod
    def toggle(self, index: int) -> None:
        """Select the line with this index, or deselect it."""

    def on_mount(self) -> None:
        """Start at the first line."""
        self.query_one(OptionList).highlighted = 0

    def action_restore(self) -> None:
        """Undo all changes, and close."""
        self._changed(self._before)
        self.dismiss(None)

    def action_choose(self) -> None:
        """Select or deselect the highlighted line."""
        self.narrow()
        index = self.query_one(OptionList).highlighted
        if index is not None:
            self.toggle(index)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.toggle(event.option_index)
