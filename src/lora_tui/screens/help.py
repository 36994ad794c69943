"""All keys that apply where help was asked for, generated from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lora_tui.widgets.dialog import Dialog


class HelpScreen(ModalScreen[None]):
    """Shows `bindings`, grouped by what they belong to."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss(None)", "Close", show=False),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, bindings: Iterable[ActiveBinding]) -> None:
        super().__init__()
        self._shown = list(bindings)

    def compose(self) -> ComposeResult:
        """The keys, in a part of the screen that scrolls."""
        yield Dialog(
            VerticalScroll(Static(_table(self.app, self._shown), markup=False)),
            title="Keys",
            keys="escape closes",
        )

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _table(app: App[object], bindings: Iterable[ActiveBinding]) -> Content:
    """One line an action, its keys together; one part for each of widget, screen, application."""
    groups: dict[str, dict[str, tuple[str, list[str]]]] = {}
    for active in bindings:
        binding = active.binding
        if not binding.description or binding.system:
            continue
        group = groups.setdefault(_group(app, active), {})
        keys = group.setdefault(binding.action, (binding.description, []))[1]
        keys.append(app.get_key_display(binding))
    parts: list[tuple[str, str]] = []
    for name, actions in groups.items():
        parts.append((("\n" if parts else "") + name + "\n", "bold $primary"))
        for description, keys in actions.values():
            parts.append((f"  {', '.join(keys):<22}", "$accent"))
            parts.append((description + "\n", ""))
    return Content.assemble(*parts)


def _group(app: App[object], active: ActiveBinding) -> str:
    if active.node is app:
        return "Everywhere"
    return "This screen" if active.node is app.screen_stack[-1] else "In the list"
