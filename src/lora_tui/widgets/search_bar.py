"""The line in which one types what to search for; the list follows every letter."""

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
    """An input whose keys stand in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.keep", "submit", "Keep", tooltip="Keep the search and go to the list"),
    ]


class SearchBar(Horizontal):
    """Hidden until `open`; `Changed` follows every letter, `Left` gives the focus back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.clear", "clear_or_leave", "Clear", tooltip="Clear the search, then leave it"),
        bound("search.leave", "leave", "To the list", show=False),
    ]

    class Changed(Message):
        """There are other words to search for: see `text`."""

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

    @property
    def text(self) -> str:
        """What has been typed."""
        return self.query_one(Input).value

    def open(self) -> None:
        """Show it and take the focus."""
        self.show()
        self.screen.set_focus(self.query_one(Input))

    def show(self) -> None:
        """Show it without the focus."""
        self.add_class("-open")

    def type(self, event: events.Key) -> bool:
        """A key that was meant for it though it had no focus yet; whether it is still open then."""
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
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
