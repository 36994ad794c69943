"""The search input above the list; the list is filtered with every letter."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from lora_tui.widgets.bindings import bound


class SearchInput(Input):
    """The input, with its keys in the key bar."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.keep", "submit", "Keep", tooltip="Keep the search and go to the list"),
    ]


class SearchBar(Horizontal):
    """Hidden until `open`; posts `Changed` for every letter and `Left` when the user is done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.clear", "clear_or_leave", "Clear", tooltip="Clear the search, then leave it"),
        bound("search.leave", "leave", "Go to the list", show=False),
    ]

    class Changed(Message):
        """The text has changed."""

    class Left(Message):
        """The focus should return to the list."""

    def compose(self) -> ComposeResult:
        """A prompt and the input."""
        yield Label("/", id="search-prompt")
        yield SearchInput(
            placeholder="name, dataset, base model, description",
            id="search-input",
            compact=True,
            select_on_focus=False,
        )

    @property
    def text(self) -> str:
        """The text of the input."""
        return self.query_one(Input).value

    def open(self) -> None:
        """Show the search and focus its input."""
        self.show()
        self.screen.set_focus(self.query_one(Input))

    def show(self) -> None:
        """Show the search without focusing it."""
        self.add_class("-open")

    def type(self, event: events.Key) -> bool:
        """Insert a key pressed before the input had the focus; returns whether it stays open."""
        field = self.query_one(Input)
        if event.is_printable and event.character is not None:
            field.insert_text_at_cursor(event.character)
        elif event.key == "backspace":
            field.action_delete_left()
        elif event.key == "escape" and field.value:
            field.value = ""
        elif event.key in ("enter", "escape", "down"):
            self.action_leave()
            return False
        return True

    def clear(self) -> None:
        """Clear the text and hide the search."""
        self.query_one(Input).value = ""
        self.remove_class("-open")

    def action_clear_or_leave(self) -> None:
        """Clear the text; if it is empty, return to the list."""
        field = self.query_one(Input)
        if field.value:
            field.value = ""
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Return to the list and keep the text; an empty search is hidden."""
        if not self.query_one(Input).value:
            self.remove_class("-open")
        self.post_message(self.Left())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
