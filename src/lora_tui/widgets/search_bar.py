"""The search input above the list; the list is filtered with every letter.

Letters that are typed quickly after the key that opens the search arrive before the input has the
focus. The screen passes them to `type`, and the input gets the focus when no key is pending.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events, on
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from lora_tui.widgets.bindings import bound
from lora_tui.widgets.text_line import TextLine

_RETRY_SECONDS: Final = 0.01


class SearchInput(TextLine):
    """The input, with its keys in the key bar."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.keep", "submit", "Keep", tooltip="Keep the search and go to the list"),
    ]


class SearchBar(Horizontal):
    """Hidden until `open` or `start`; posts `Changed` for every letter, `Left` at the end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("search.clear", "clear_or_leave", "Clear", tooltip="Clear the search, then leave it"),
        bound("search.leave", "leave", "Go to the list", show=False),
    ]

    class Changed(Message):
        """The text has changed."""

    class Left(Message):
        """The focus should return to the list."""

    def __init__(self, placeholder: str) -> None:
        """`placeholder`: what is searched, shown while nothing is typed."""
        super().__init__()
        self._placeholder = placeholder
        self.is_starting = False
        """Whether the search is shown, and its input does not have the focus yet."""
        self._input: SearchInput | None = None

    @property
    def text(self) -> str:
        """The text of the input."""
        return "" if self._input is None else self._input.value

    @property
    def is_typed_in(self) -> bool:
        """Whether the input has the focus."""
        return self._input is not None and self.screen.focused is self._input

    def open(self) -> None:
        """Show the search and focus its input."""
        self.add_class("-open")
        self.screen.set_focus(self._field)

    def fill(self, text: str) -> None:
        """Show a text that was not typed; without one the search is hidden."""
        if text or self.text:
            with self.prevent(Input.Changed):
                self._field.value = text
        self.set_class(bool(text), "-open")

    def start(self) -> None:
        """Show the search; focus its input once all keys that are pending were handled."""
        self.add_class("-open")
        self.mount_input()
        self.is_starting = True
        self.call_after_refresh(self._focus_when_idle)

    def type(self, event: events.Key) -> None:
        """Handle a key that was pressed before the input had the focus."""
        field = self._field
        if event.is_printable and event.character is not None:
            field.insert_text_at_cursor(event.character)
        elif event.key == "backspace":
            field.action_delete_left()
        elif event.key == "escape" and field.value:
            field.value = ""
        elif event.key in ("enter", "escape", "down"):
            self.is_starting = False
            self.action_leave()

    def clear(self) -> None:
        """Clear the text and hide the search."""
        self._field.value = ""
        self.remove_class("-open")

    def action_clear_or_leave(self) -> None:
        """Clear the text; if it is empty, return to the list."""
        field = self._field
        if field.value:
            field.value = ""
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Return to the list and keep the text; an empty search is hidden."""
        if not self.text:
            self.remove_class("-open")
        self.post_message(self.Left())

    def mount_input(self) -> None:
        """Mount a prompt and the input, once."""
        if self._input is None and self.is_attached:
            self._input = SearchInput(
                placeholder=self._placeholder,
                id="search-input",
                compact=True,
                select_on_focus=False,
            )
            self.mount(Label("/", id="search-prompt"), self._input)

    @property
    def _field(self) -> SearchInput:
        self.mount_input()
        assert self._input is not None
        return self._input

    def _focus_when_idle(self) -> None:
        """Focus the input, or try again later while a key may still be on its way to the list."""
        if not self.is_starting or not self.is_attached:
            return
        focused = self.screen.focused
        key_path = focused.ancestors_with_self if focused is not None else [self.screen]
        if any(pump.message_queue_size for pump in (*key_path, self.app, self, *self.children)):
            self.set_timer(_RETRY_SECONDS, self._focus_when_idle)
            return
        self.is_starting = False
        self.open()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
