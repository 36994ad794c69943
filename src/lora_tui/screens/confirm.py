"""A confirmation before something that can't be undone."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog


class ConfirmScreen(Modal[bool]):
    """Answers True only if the user confirmed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("confirm.yes", "dismiss(True)", "Yes", show=False),
        bound("confirm.no", "dismiss(False)", "No", show=False),
    ]

    def __init__(self, title: str, question: str) -> None:
        super().__init__()
        self._title, self._question = title, question

    def compose(self) -> ComposeResult:
        """The question, with the keys in the frame."""
        yield Dialog(
            Static(self._question, markup=False, classes="dialog-text"),
            title=self._title,
            keys=[("confirm.yes", "yes"), ("confirm.no", "no")],
        )
