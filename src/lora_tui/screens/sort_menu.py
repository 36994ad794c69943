"""The menu for choosing the order of the list."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.list_form import ListForm
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog

Sort = TypeVar("Sort", bound=StrEnum)


class SortMenu(ListForm[Sort | None], Generic[Sort]):
    """Answers the chosen order, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("models.sort", "dismiss(None)", "Close", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(
        self,
        current: Sort,
        names: Mapping[Sort, str],
        directions: Mapping[Sort, tuple[str, str]],
        *,
        reverse: bool,
    ) -> None:
        """`directions`: in words, of each order and of its reverse."""
        super().__init__()
        self._current, self._reverse = current, reverse
        self._names, self._directions = names, directions
        self._sorts = list(names)

    def compose(self) -> ComposeResult:
        """One line per order; the current one is marked."""
        options = []
        for sort in self._sorts:
            chosen = sort is self._current
            mark = ("*" if self.app.has_class("-ascii") else "●") if chosen else " "
            direction = self._directions[sort][int(chosen and self._reverse)]
            text = f"{mark} {self._names[sort]:<13} {direction}"
            options.append(Option(Content(text), id=sort.value))
        yield Dialog(
            OptionList(*options, markup=False),
            title="Sort by",
            note="choose again to reverse",
        )

    def on_mount(self) -> None:
        """Start at the current order."""
        self.query_one(OptionList).highlighted = self._sorts.index(self._current)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._sorts[event.option_index])
