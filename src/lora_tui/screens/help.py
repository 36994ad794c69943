"""All keys that apply where help was asked for, generated from the bindings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lora_tui.bindings import bound
from lora_tui.screens.actions import Action, grouped
from lora_tui.widgets.cells import settled
from lora_tui.widgets.dialog import Dialog


class HelpScreen(ModalScreen[None]):
    """Shows `actions`, grouped by where they apply."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("app.help", "dismiss(None)", "Close", show=False),
        bound("list.down", "scroll(1)", "Down", show=False),
        bound("list.up", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        """The keys, in a part of the screen that scrolls."""
        ascii_only = self.app.has_class("-ascii")
        yield Dialog(
            VerticalScroll(Static(_table(self._actions, ascii_only=ascii_only), markup=False)),
            title="Keys",
            keys=[("list.down", "down"), ("list.up", "up"), ("dialog.close", "closes")],
        )

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _table(actions: Sequence[Action], *, ascii_only: bool) -> Content:
    """One line an action, its keys together."""
    parts: list[tuple[str, str]] = []
    for group, members in grouped(actions).items():
        parts.append((("\n" if parts else "") + group + "\n", "bold $primary"))
        for action in members:
            keys = settled("  ".join(action.keys), ascii_only=ascii_only)
            parts.append((f"  {keys:<16}", "$accent"))
            parts.append((action.explanation + "\n", ""))
    return Content.assemble(*parts).rstrip()
