"""The form for another name of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input, Static

from lora_tui.errors import LoraTuiError
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.text_line import TextLine

LONGEST: Final = 200
"""Characters of a name."""
Save = Callable[[str, Callable[[], None], Callable[[LoraTuiError], None]], None]
"""Saves the name; then calls the second, or the third with the error."""


class EditNameScreen(Modal[None]):
    """Calls `save` with the name, and closes once it is saved: a typed name is not lost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("typing.keep", "keep", "Keep", show=False),
        bound("typing.leave", "dismiss(None)", "Leave", show=False),
    ]

    def __init__(self, name: str, save: Save) -> None:
        super().__init__()
        self._before, self._save = name, save

    def compose(self) -> ComposeResult:
        """The name, and a line for what is wrong."""
        yield Dialog(
            TextLine(
                self._before,
                compact=True,
                select_on_focus=False,
                max_length=LONGEST,
                classes="mark-input",
            ),
            Static(markup=False, id="mark-hint"),
            title="Rename",
            keys=[("typing.keep", "renames"), ("typing.leave", "leaves")],
        )

    def on_mount(self) -> None:
        """Type at once, at the end."""
        line = self.query_one(Input)
        line.focus()
        line.cursor_position = len(line.value)

    def action_keep(self) -> None:
        """Save the name."""
        name = self.query_one(Input).value.strip()
        if name == self._before:
            self.dismiss(None)
            return
        if not name:
            self._say("A name has 1 to 200 characters", "$text-error")
            return

        def failed(error: LoraTuiError) -> None:
            if self.is_alive:
                remedy = self.app.remedy_of(error)  # type: ignore[attr-defined]
                self._say(f"{error}. {remedy}", "$text-error")

        self._say("Renaming…")
        self._save(name, self.while_alive(lambda: self.answer(None)), failed)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def _say(self, text: str, style: str = "$secondary") -> None:
        shown = normalize_width(text, ascii_only=self.app.has_class("-ascii"))
        self.query_one("#mark-hint", Static).update(Content.styled(shown, style))
