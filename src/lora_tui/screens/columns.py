"""The form for choosing the columns of the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.row_columns import ColumnSet


class ColumnScreen(Modal[None]):
    """Calls `changed` after each choice, so that the list changes at once; escape undoes all.

    An empty tuple of columns means automatic; `shown` are the columns that this gives now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.keep", "dismiss(None)", "Apply", priority=True, show=False),
        bound("models.columns", "dismiss(None)", "Apply", priority=True, show=False),
        bound("dialog.undo", "restore", "Undo the changes", show=False),
        bound("columns.automatic", "automatic", "Choose automatically", show=False),
        bound("dialog.choose", "choose", "Select or deselect", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(
        self,
        columns: ColumnSet[Any],
        before: tuple[str, ...],
        shown: Sequence[str],
        changed: Callable[[tuple[str, ...]], None],
    ) -> None:
        super().__init__()
        self._columns = columns
        self._choices = columns.columns[1:]  # the first is always shown
        self._before, self._changed = before, changed
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

    def on_mount(self) -> None:
        """Start at the first line."""
        self.query_one(OptionList).highlighted = 0

    def action_restore(self) -> None:
        """Undo all changes, and close."""
        self._changed(self._before)
        self.dismiss(None)

    def action_automatic(self) -> None:
        """Let the list choose the columns."""
        self._chosen = None
        self._tell()

    def action_choose(self) -> None:
        """Select or deselect the highlighted column."""
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
