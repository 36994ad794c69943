"""The dialog for choosing one column of the models: type a part of its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.cache.model_columns import ModelColumn
from lora_tui.screens.list_form import ChoiceForm, letters
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog, TypedLine

NONE: Final = ""
"""The answer where no column is wanted."""
_NAME: Final = 22


class ColumnPicker(ChoiceForm):
    """Answers the name of a column, `NONE`, or None where it was closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.undo", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Choose", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(
        self, title: str, columns: Sequence[ModelColumn], current: str, *, none: str = ""
    ) -> None:
        """`none`: the first line, which chooses no column; empty where one is needed."""
        super().__init__()
        self._title, self._columns, self._current, self._none = title, columns, current, none
        self.shown: list[str] = []

    def compose(self) -> ComposeResult:
        """A line to type into, and the columns that match."""
        yield Dialog(
            TypedLine(self.BINDINGS),
            OptionList(markup=False),
            title=self._title,
            keys=[("list.open", "chooses"), ("dialog.undo", "closes")],
        )

    def on_mount(self) -> None:
        """All columns; the cursor is at the current one."""
        self.list_matches("")
        self.query_one(OptionList).can_focus = False
        self.query_one(TypedLine).focus()

    def list_matches(self, wanted: str) -> None:
        """See `ListForm.list_matches`; a name that begins so comes before one that contains it."""
        found = [column for column in self._columns if _matches(column, wanted)]
        found.sort(key=lambda column: not letters(column.name).startswith(wanted))
        self.shown = [column.name for column in found]
        options = [
            Option(
                Content.assemble(
                    (f"{column.name:<{_NAME}}", "$foreground"), (column.meaning, "$secondary")
                )
            )
            for column in found
        ]
        if self._none and wanted in letters(self._none):
            self.shown.insert(0, NONE)
            options.insert(0, Option(Content.styled(self._none, "$secondary")))
        listing = self.query_one(OptionList)
        listing.clear_options()
        listing.add_options(options or [Option("No column has these letters", disabled=True)])
        if self.shown:
            is_listed = not wanted and self._current in self.shown
            listing.highlighted = self.shown.index(self._current) if is_listed else 0


def _matches(column: ModelColumn, wanted: str) -> bool:
    texts = (column.name, column.name.replace("_", " "), column.title, column.meaning)
    return any(wanted in letters(text) for text in texts)
