"""The form for an alias of a model; it says which model has the alias now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input, Static

from lora_tui.domain.own_marks import alias_of, like
from lora_tui.errors import UsageError
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.text_line import TextLine

_WIDTH = 56
_FIRST: Final = "production"
"""The alias that is offered where there is none."""


class SetAliasScreen(Modal[str | None]):
    """Answers the alias that was typed, as it is spelled already if there is one; None for none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("typing.keep", "keep", "Keep", show=False),
        bound("typing.leave", "dismiss(None)", "Leave", show=False),
        bound("typing.complete", "complete", "Take the next alias", show=False, priority=True),
    ]

    def __init__(self, name: str, aliases: Sequence[str], used: Mapping[str, str]) -> None:
        """`name` of the model; its `aliases`; `used`: all aliases with what they name, in words."""
        super().__init__()
        self._name, self._aliases, self._used = name, aliases, used
        self._offered = [*(alias for alias in used if alias not in aliases), *aliases] or [_FIRST]
        """Those of other models first: who opens the form seldom wants to remove one."""
        self._beginning = self._completed = ""
        """What was typed before an alias was completed, and that alias."""

    def compose(self) -> ComposeResult:
        """The aliases of the model, the one that is typed, and what it names now."""
        has = "  ".join(f"@{alias}" for alias in self._aliases)
        key = key_of(self.app, "typing.complete")
        yield Dialog(
            Static(self._fitted(f"{self._name}: {has or 'no alias'}"), markup=False,
                   classes="dialog-heading"),
            TextLine(
                placeholder=f"type a name, or {key} takes one of those below",
                compact=True,
                select_on_focus=False,
                classes="mark-input",
            ),
            Static(markup=False, id="mark-hint"),
            title="Alias",
            keys=[
                ("typing.keep", "keeps"),
                ("typing.complete", "completes"),
                ("typing.leave", "leaves"),
            ],
        )  # fmt: skip

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()
        self._tell()

    def action_complete(self) -> None:
        """Take the first alias that begins with what is typed; pressed again, the next one."""
        line = self.query_one(Input)
        if line.value != self._completed:
            self._beginning = line.value.strip().removeprefix("@").casefold()
        offered = [one for one in self._offered if one.casefold().startswith(self._beginning)]
        if offered:
            last = offered.index(line.value) if line.value in offered else -1
            self._completed = offered[(last + 1) % len(offered)]
            line.value = self._completed
            line.cursor_position = len(line.value)

    def action_keep(self) -> None:
        """Answer the alias; where the text is none, say so."""
        typed = self.query_one(Input).value.strip()
        if not typed:
            self.dismiss(None)
            return
        try:
            alias = alias_of(typed)
        except UsageError as error:
            self._say(f"{error}: {error.remedy}", "$text-error")
            return
        self.dismiss(like(alias, self._used) or alias)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    @on(Input.Changed)
    def _tell(self) -> None:
        """Say what the alias names now."""
        typed = self.query_one(Input).value.strip().removeprefix("@")
        alias = like(typed, self._used)
        if not typed:
            names = "  ".join(f"@{name}" for name in self._offered)
            self._say(names if self._used else f"A name that you can move later, as {names}")
        elif alias is None:
            self._say(f"@{typed} is new")
        elif alias in self._aliases:
            self._say(f"@{alias} names this model: enter removes it, after a question")
        else:
            self._say(f"@{alias} names {self._used[alias]}: enter moves it, after a question")

    def _say(self, text: str, style: str = "$secondary") -> None:
        self.query_one("#mark-hint", Static).update(Content.styled(self._fitted(text, 3), style))

    def _fitted(self, text: str, lines: int = 1) -> str:
        ascii_only = self.app.has_class("-ascii")
        return fit(text, _WIDTH * lines, ascii_only=ascii_only).rstrip()
