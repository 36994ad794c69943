"""The line in which one types what to search for; the list follows every letter."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class SearchInput(Input):
    """An input whose keys stand in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Keep", tooltip="Keep the search and go to the list"),
    ]


class SearchBar(Horizontal):
    """Hidden until `open`; `Changed` follows every letter, `Left` gives the focus back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear_or_leave", "Clear", tooltip="Clear the search, then leave it"),
        Binding("down", "leave", "To the list", show=False),
    ]

    class Changed(Message):
        """The words to search for."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The list is to have the focus."""

    def compose(self) -> ComposeResult:
        """A prompt and the input."""
        yield Label("/", id="search-prompt")
        yield SearchInput(
            placeholder="name, dataset, base model, description",
            id="search-input",
            compact=True,
            select_on_focus=False,
        )

    def open(self) -> None:
        """Show it and take the focus."""
        self.add_class("-open")
        self.query_one(Input).focus()

    def clear(self) -> None:
        """Empty it and hide it."""
        self.query_one(Input).value = ""
        self.remove_class("-open")

    def action_clear_or_leave(self) -> None:
        """The first escape empties the search, the second leaves it."""
        field = self.query_one(Input)
        if field.value:
            field.value = ""
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Keep what was typed; an empty search is hidden."""
        if not self.query_one(Input).value:
            self.remove_class("-open")
        self.post_message(self.Left())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
