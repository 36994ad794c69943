"""The menu for choosing the order of the list."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.cache.models import Sort
from lora_tui.screens.models_text import SORT_NAMES, direction_name
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog


class SortMenu(Modal[Sort | None]):
    """Answers the chosen order, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("models.sort", "dismiss(None)", "Close", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(self, current: Sort, *, reverse: bool) -> None:
        super().__init__()
        self._current, self._reverse = current, reverse

    def compose(self) -> ComposeResult:
        """One line per order; the current one is marked."""
        options = []
        for sort in Sort:
            chosen = sort is self._current
            mark = ("*" if self.app.has_class("-ascii") else "●") if chosen else " "
            direction = direction_name(sort, reverse=chosen and self._reverse)
            text = f"{mark} {SORT_NAMES[sort]:<13} {direction}"
            options.append(Option(Content(text), id=sort.value))
        yield Dialog(
            OptionList(*options, markup=False),
            title="Sort by",
            note="choose again to reverse",
        )

    def on_mount(self) -> None:
        """Start at the current order."""
        self.query_one(OptionList).highlighted = list(Sort).index(self._current)

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        menu = self.query_one(OptionList)
        if lines > 0:
            menu.action_cursor_down()
        else:
            menu.action_cursor_up()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(Sort(str(event.option_id)))
