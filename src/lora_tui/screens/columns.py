"""The form for choosing the columns of the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.checklist import CHECKLIST_KEYS, ChecklistScreen
from lora_tui.screens.list_form import letters
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog, TypedLine
from lora_tui.widgets.row_columns import Column, ColumnSet


class ColumnScreen(ChecklistScreen[tuple[str, ...]]):
    """Calls `changed` after each choice, so that the list changes at once; escape undoes all.

    An empty tuple of columns means automatic; `shown` are the columns that this gives now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("models.columns", "dismiss(None)", "Apply", show=False),
        bound("columns.automatic", "automatic", "Choose automatically", show=False),
        bound("dialog.choose", "choose", "Select or deselect", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
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
        self._choices: list[Column[Any]] = list(columns.all_columns[1:])  # the first always shows
        self._shown = self._choices
        """Those that contain what was typed."""
        self._best = frozenset(shown)
        self._chosen: set[str] | None = set(before) or None

    def compose(self) -> ComposeResult:
        """One line per column."""
        yield Dialog(
            Label(self._mode(), id="columns-mode", classes="dialog-heading"),
            TypedLine(self.BINDINGS, id="typed"),
            OptionList(*(Option(column.label) for column in self._shown)),
            title="Columns",
            keys=[
                ("dialog.choose", "selects"),
                ("columns.automatic", "automatic"),
                ("dialog.keep", "applies"),
                ("dialog.undo", "cancels"),
            ],
        )

    def on_mount(self) -> None:
        """Type into the line."""
        self.query_one(OptionList).can_focus = False
        self.query_one(TypedLine).focus()

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """Draw the lines in their new width."""
        self.call_after_refresh(self.while_alive(self._draw))

    def list_matches(self, wanted: str) -> None:
        """See `ListForm.list_matches`."""
        self._shown = [
            column
            for column in self._choices
            if wanted in letters(column.label) or wanted in letters(column.key)
        ]
        listing = self.query_one(OptionList)
        listing.clear_options()
        listing.add_options([Option(column.label) for column in self._shown])
        listing.highlighted = 0 if self._shown else None
        self._draw()

    def action_automatic(self) -> None:
        """Let the list choose the columns."""
        self._chosen = None
        self._tell()

    def toggle(self, index: int) -> None:
        """See `ChecklistScreen.toggle`."""
        if self._chosen is None:
            self._chosen = set(self._best)
        self._chosen ^= {self._shown[index].key}
        self._tell()

    def _tell(self) -> None:
        self._draw()
        chosen = () if self._chosen is None else self._valid()
        self._changed(chosen)

    def _draw(self) -> None:
        listing = self.query_one(OptionList)
        width = listing.scrollable_content_region.width
        for place, column in enumerate(self._shown):
            listing.replace_option_prompt_at_index(place, self._line(column, width))
        self.query_one("#columns-mode", Label).update(self._mode())

    def _valid(self) -> tuple[str, ...]:
        first = self._columns.columns[0].key
        return self._columns.valid_keys({first, *(self._chosen or ())})

    def _mode(self) -> str:
        if not self._shown:
            return "No column has these letters"
        return "Automatic: the columns that fit" if self._chosen is None else "The chosen columns"

    def _line(self, column: Column[Any], width: int) -> Content:
        is_shown = column.key in (self._best if self._chosen is None else self._chosen)
        box = "[x]" if is_shown else "[ ]"
        style = "$secondary" if self._chosen is None else "$accent"
        label = fit(column.label, width - len(box) - 1, ascii_only=self.app.has_class("-ascii"))
        return Content.assemble((box, style), f" {label}")
