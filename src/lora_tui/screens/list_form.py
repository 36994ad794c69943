"""Base classes of the forms with a list, whose cursor also moves by the keys of the form."""

from __future__ import annotations

from textual import on
from textual.widgets import Input, OptionList

from lora_tui.tui.base_screen import Answer, Modal
from lora_tui.widgets.forms import TypedLine


def letters(text: str) -> str:
    """The text without case and blanks, to look for typed letters in it."""
    return "".join(text.casefold().split())


class ListForm(Modal[Answer]):
    """Put `list.down` and `list.up` with `cursor(1)` and `cursor(-1)` into BINDINGS.

    A form with a TypedLine is narrowed by it: see `list_matches`.
    """

    _narrowed_by = ""

    @on(Input.Changed)
    def narrow(self) -> None:
        """List what matches the letters of the TypedLine, if there is one and they have changed.

        Actions call it first: the message of the change may come after the next key.
        """
        for line in self.query(TypedLine):
            if line.value != self._narrowed_by:
                self._narrowed_by = line.value
                self.list_matches(letters(line.value))

    def list_matches(self, wanted: str) -> None:
        """List what has these `letters` in it, in a form that is narrowed by typing."""

    def action_cursor(self, lines: int) -> None:
        """Move the cursor of the list down (1) or up (-1)."""
        self.narrow()
        listing = self.query_one(OptionList)
        if lines > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    def action_page(self, pages: int) -> None:
        """Move the cursor of the list by a page."""
        self.narrow()
        listing = self.query_one(OptionList)
        if pages > 0:
            listing.action_page_down()  # type: ignore[no-untyped-call]
        else:
            listing.action_page_up()  # type: ignore[no-untyped-call]


class ChoiceForm(ListForm[str | None]):
    """Answers the name of one of the listed choices, which a TypedLine narrows."""

    shown: list[str]
    """The names of the listed choices, in the order of the lines."""

    def action_choose(self) -> None:
        """Answer the choice under the cursor."""
        self.narrow()
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self.dismiss(self.shown[place])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.shown[event.option_index])
