"""The menu for choosing the order of the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.list_form import ChoiceForm, letters
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog, TypedLine

_NAME_WIDTH: Final = 21
_MOST_LINES: Final = 12


class SortMenu(ChoiceForm):
    """Answers the chosen order, or None. What is typed narrows the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("models.sort", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Sort by it", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(
        self,
        current: str,
        orders: Mapping[Any, tuple[str, tuple[str, str]]],
        *,
        reverse: bool,
    ) -> None:
        """`orders`: each in words, with its direction in words and the reverse of that."""
        super().__init__()
        self._current, self._reverse = current, reverse
        self._orders = orders
        self.shown = list(orders)

    def compose(self) -> ComposeResult:
        """One line per order; the current one is marked."""
        yield Dialog(
            TypedLine(self.BINDINGS, id="typed"),
            OptionList(*(Option(self._line(sort)) for sort in self.shown), markup=False),
            title="Sort by",
            note="choose again to reverse",
        )

    def on_mount(self) -> None:
        """Start at the current order."""
        listing = self.query_one(OptionList)
        listing.can_focus = False
        listing.styles.height = min(_MOST_LINES, len(self.shown))  # it stays while one types
        if self._current in self.shown:
            listing.highlighted = self.shown.index(self._current)
        self.query_one(TypedLine).focus()

    def list_matches(self, wanted: str) -> None:
        """See `ListForm.list_matches`."""
        self.shown = [
            sort
            for sort, (words, _) in self._orders.items()
            if wanted in letters(words) or wanted in letters(str(sort).replace("_", ""))
        ]
        listing = self.query_one(OptionList)
        listing.clear_options()
        nothing = [Option("  No order has these letters", disabled=True)]
        listing.add_options([Option(self._line(sort)) for sort in self.shown] or nothing)
        current = self.shown.index(self._current) if self._current in self.shown else 0
        listing.highlighted = (0 if wanted else current) if self.shown else None

    def _line(self, sort: str) -> Content:
        words, directions = self._orders[sort]
        is_chosen = sort == self._current
        mark = ("*" if self.app.has_class("-ascii") else "●") if is_chosen else " "
        direction = directions[int(is_chosen and self._reverse)]
        return Content(f"{mark} {fit(words, _NAME_WIDTH)} {direction}")
