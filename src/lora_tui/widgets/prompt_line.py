"""The line in which a prompt is typed."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.message import Message

from lora_tui.widgets.bindings import bound
from lora_tui.widgets.text_line import TextLine

BREAK: Final = "\N{RETURN SYMBOL}"
"""Stands for a line break of a pasted text, as the line has only one."""


class PromptLine(TextLine):
    """Sends `Ready` for enter and `Left` for escape; a pasted text keeps its lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("typing.keep", "ready", "Ask", tooltip="Ask all models this"),
        bound("typing.leave", "leave", "Leave", tooltip="Leave the line"),
    ]

    class Ready(Message):
        """The prompt is ready to be asked."""

    class Left(Message):
        """The user leaves the line."""

    @property
    def prompt(self) -> str:
        """The text, with line breaks."""
        return self.value.replace(BREAK, "\n")

    def show(self, prompt: str) -> None:
        """Put this prompt into the line."""
        self.value = prompt.replace("\n", BREAK)
        self.cursor_position = len(self.value)

    def action_ready(self) -> None:
        """Ask."""
        self.post_message(self.Ready())

    def action_leave(self) -> None:
        """Leave."""
        self.post_message(self.Left())

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = "\n".join(event.text.strip("\r\n").splitlines())
        self.replace(text.replace("\n", BREAK), *self.selection)
