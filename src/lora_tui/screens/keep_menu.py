"""The menus for keeping models in order: what to do to one, and which deleted one to restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.list_form import ChoiceForm, letters
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog, TypedLine

_WIDTH: Final = 58
_MOST_LINES: Final = 12


class KeepMenu(ChoiceForm):
    """Answers the chosen key of `choices` (key → words), or None. What is typed narrows it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("marks.keep", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Do it", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(self, title: str, choices: Mapping[str, str], *, note: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._note = title, choices, note
        self.shown = list(choices)

    def compose(self) -> ComposeResult:
        """One line for each choice."""
        yield Dialog(
            TypedLine(self.BINDINGS, id="typed"),
            OptionList(*(Option(self._line(key)) for key in self.shown), markup=False),
            title=self._title,
            note=self._note,
        )

    def on_mount(self) -> None:
        """Start at the first choice."""
        listing = self.query_one(OptionList)
        listing.can_focus = False
        listing.styles.height = min(_MOST_LINES, len(self.shown))
        listing.highlighted = 0 if self.shown else None
        self.query_one(TypedLine).focus()

    def list_matches(self, wanted: str) -> None:
        """See `ListForm.list_matches`."""
        self.shown = [key for key, words in self._choices.items() if wanted in letters(words)]
        listing = self.query_one(OptionList)
        listing.clear_options()
        nothing = [Option("Nothing here has these letters", disabled=True)]
        listing.add_options([Option(self._line(key)) for key in self.shown] or nothing)
        listing.highlighted = 0 if self.shown else None

    def _line(self, key: str) -> Content:
        ascii_only = self.app.has_class("-ascii")
        return Content(fit(self._choices[key], _WIDTH, ascii_only=ascii_only).rstrip())
