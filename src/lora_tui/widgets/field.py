"""One line of a form: a label, an input, and what is known about what was typed."""

from __future__ import annotations

from enum import Enum

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Label, Static

from lora_tui.widgets.cells import settled


class Verdict(Enum):
    """What is known: its sign, its sign in ASCII, its style."""

    UNKNOWN = ("", "", "$secondary")
    CHECKING = ("…", "...", "$secondary")
    GOOD = ("✓", "ok", "$text-success")
    BAD = ("✗", "x", "$text-error")


class Field(Horizontal):
    """`value` is without the blanks around it; a password never shows."""

    def __init__(
        self,
        label: str,
        *,
        id: str,
        value: str = "",
        placeholder: str = "",
        is_secret: bool = False,
    ) -> None:
        super().__init__(id=id)
        self._label = label
        self.input = Input(
            value, placeholder=placeholder, password=is_secret, compact=True, select_on_focus=False
        )
        self._verdict = Static(markup=False, classes="field-verdict")

    def compose(self) -> ComposeResult:
        """From left to right."""
        yield Label(self._label, classes="field-label", markup=False)
        yield self.input
        yield self._verdict

    def on_descendant_focus(self) -> None:
        """The label shows where one is, besides the cursor."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Elsewhere."""
        self.remove_class("-focused")

    @property
    def value(self) -> str:
        """What was typed."""
        return self.input.value.strip()

    def show(self, verdict: Verdict, words: str = "") -> None:
        """The sign never comes without words, and is no colour alone."""
        ascii_only = self.app.has_class("-ascii")
        sign, plain, style = verdict.value
        text = f"{plain if ascii_only else sign} {settled(words, ascii_only=ascii_only)}"
        self._verdict.update(Content.styled(text.strip(), style))
