"""Base class of the forms with a list, whose cursor also moves by the keys of the form."""

from __future__ import annotations

from textual.widgets import OptionList

from lora_tui.tui.base_screen import Answer, Modal


def letters(text: str) -> str:
    """The text without case and blanks, to look for typed letters in it."""
    return "".join(text.casefold().split())


class ListForm(Modal[Answer]):
    """Put `list.down` and `list.up` with `cursor(1)` and `cursor(-1)` into BINDINGS."""

    def narrow(self) -> None:
        """Show what contains the typed letters, in a form that is narrowed by typing.

        Actions call it first: the message of the change may come after the next key.
        """

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
