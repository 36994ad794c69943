"""The form for how all models of Try are asked."""

from __future__ import annotations

import math
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input, Static

from lora_tui.domain.answers import HIGHEST_TEMPERATURE, MOST_TOKENS, Settings
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.forms import Dialog, Field

_FIELDS: Final = ("system", "temperature", "seed", "tokens")


class TrySettingsForm(Modal[Settings]):
    """Answers the settings, or None where the user leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("login.next", "app.focus_next", "Next field", show=False, priority=True),
        bound("login.previous", "app.focus_previous", "Previous field", show=False, priority=True),
        bound("typing.keep", "keep", "Keep", show=False),
        bound("typing.leave", "dismiss(None)", "Leave", show=False),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        """A field for each setting, and a line for what is wrong."""
        now = self._settings
        yield Dialog(
            Field("System", id="system", value=now.system, placeholder="no system message"),
            Field("Temperature", id="temperature", value=f"{now.temperature:g}"),
            Field(
                *("Seed",),
                id="seed",
                value="" if now.seed is None else str(now.seed),
                placeholder="none",
            ),
            Field("Tokens", id="tokens", value=str(now.most_tokens)),
            Static(markup=False, id="mark-hint"),
            title="How they are asked",
            keys=[
                ("typing.keep", "keeps"),
                ("login.next", "next field"),
                ("typing.leave", "leaves"),
            ],
        )

    def on_mount(self) -> None:
        """Type at once."""
        line = self._field("system").input
        line.focus()
        line.cursor_position = len(line.value)

    def action_keep(self) -> None:
        """Answer the settings, or go to the first field that is wrong and say so."""
        try:
            temperature = float(self._field("temperature").value)
        except ValueError:
            temperature = math.nan
        if not 0 <= temperature <= HIGHEST_TEMPERATURE:
            self._refuse("temperature", f"The temperature is from 0 to {HIGHEST_TEMPERATURE}")
            return
        seed = self._field("seed").value
        if seed and (number := _whole(seed)) is None:
            self._refuse("seed", "The seed is a whole number, or empty")
            return
        tokens = _whole(self._field("tokens").value)
        if tokens is None or not 1 <= tokens <= MOST_TOKENS:
            self._refuse("tokens", f"An answer has from 1 to {MOST_TOKENS:,} tokens")
            return
        self.answer(
            self._settings._replace(
                system=self._field("system").value,
                temperature=temperature,
                seed=number if seed else None,
                most_tokens=tokens,
            )
        )

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def _field(self, name: str) -> Field:
        return self.query_one(f"#{name}", Field)

    def _refuse(self, name: str, why: str) -> None:
        self._field(name).input.focus()
        text = normalize_width(why, ascii_only=self.app.has_class("-ascii"))
        self.query_one("#mark-hint", Static).update(Content.styled(text, "$text-error"))


def _whole(text: str) -> int | None:
    """The number, where it has at most 18 ASCII digits: servers take 64 bits."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
