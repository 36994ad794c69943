"""The form for the note or the description of a model: several lines of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static, TextArea

from lora_tui import formats
from lora_tui.domain.own_marks import LONGEST_NOTE, clean_lines
from lora_tui.errors import LoraTuiError
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.forms import Dialog

Save = Callable[[str, Callable[[], None], Callable[[LoraTuiError], None]], None]
"""Saves the text; then calls the second, or the third with the error."""


class EditNoteScreen(Modal[None]):
    """Calls `save` with the text, and closes once it is saved: no typed text is lost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("typing.keep_note", "keep", "Keep", show=False, priority=True),
        bound("typing.leave", "leave", "Leave", show=False, priority=True),
    ]

    def __init__(
        self, name: str, note: str, save: Save, *, title: str = "Note", longest: int = LONGEST_NOTE
    ) -> None:
        """`longest`: the most characters that are kept."""
        super().__init__()
        self._name, self._before, self._save = name, note, save
        self._title, self._longest = title, longest
        self._asked = False
        """Whether escape was pressed with changes; the second one drops them."""

    def compose(self) -> ComposeResult:
        """The text, and a line for what is wrong."""
        yield Dialog(
            Static(markup=False, id="mark-hint"),  # above: toasts cover the end of the form
            TextArea(self._before, compact=True, tab_behavior="indent"),
            title=f"{self._title}: {self._name}",
            keys=[("typing.keep_note", "keeps"), ("typing.leave", "leaves")],
        )

    def on_mount(self) -> None:
        """Type at once, at the end."""
        area = self.query_one(TextArea)
        area.focus()
        area.move_cursor(area.document.end)

    def on_text_area_changed(self) -> None:
        """Count the characters near the limit."""
        self._asked = False
        length = len(self._text)
        near = length > self._longest * 9 // 10
        count = f"{formats.count(length)} of {formats.count(self._longest)} characters"
        self._say(count if near else "", "$text-error" if length > self._longest else "$secondary")

    def action_keep(self) -> None:
        """Save the text."""
        if clean_lines(self._text) == self._before:
            self.dismiss(None)
            return

        def failed(error: LoraTuiError) -> None:
            if self.is_alive:
                self._say(f"{error}. {error.remedy or ''}", "$text-error")

        self._save(self._text, self.while_alive(lambda: self.answer(None)), failed)

    def action_leave(self) -> None:
        """Close; with changes only after a second press."""
        if self._asked or self._text.strip("\n") == self._before:
            self.dismiss(None)
            return
        self._asked = True
        keep, leave = (key_of(self.app, f"typing.{name}") for name in ("keep_note", "leave"))
        self._say(f"{leave} again drops the changes, {keep} keeps them", "$text-warning")

    @property
    def _text(self) -> str:
        return self.query_one(TextArea).text

    def _say(self, text: str, style: str) -> None:
        shown = normalize_width(text, ascii_only=self.app.has_class("-ascii"))
        self.query_one("#mark-hint", Static).update(Content.styled(shown, style))
