"""The help: all keys that apply now, generated from the bindings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from lora_tui.screens.chart_screen import Scrolled
from lora_tui.screens.palette import Action, grouped
from lora_tui.tui.base_screen import FORM_STYLES, Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.forms import Dialog

_WIDTH: Final = 74
_FRAME: Final = 5
"""Cells of the frame, its padding and the scroll bar."""
_MOST_KEYS: Final = 22


class HelpScreen(Modal[None]):
    """Shows `actions` by group; the group of the focused widget comes first."""

    CSS_PATH = [FORM_STYLES, "help.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("app.help", "dismiss(None)", "Close", show=False),
        bound("list.down", "scroll(1)", "Down", show=False),
        bound("list.up", "scroll(-1)", "Up", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(self, actions: Sequence[Action], about: str = "") -> None:
        """`about` describes the screen in a sentence."""
        super().__init__()
        self._actions, self._about = actions, about

    def compose(self) -> ComposeResult:
        """The keys, in a part that scrolls."""
        yield Dialog(
            Scrolled(Static(markup=False, id="help-keys")),
            title="Keys",
            keys=[("list.down", "down"), ("list.up", "up"), ("dialog.close", "closes")],
        )

    def on_resize(self, event: events.Resize) -> None:
        """Wrap long explanations to the width."""
        del event
        width = min(_WIDTH, self.size.width * 9 // 10) - _FRAME
        ascii_only = self.app.has_class("-ascii")
        text = _table(self._actions, self._about, width, ascii_only=ascii_only)
        self.query_one("#help-keys", Static).update(text)

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        self.query_one(Scrolled).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, one line of overlap."""
        part = self.query_one(Scrolled)
        part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)


def _table(actions: Sequence[Action], about: str, width: int, *, ascii_only: bool) -> Content:
    """One action in one or more lines, with all its keys."""
    parts: list[tuple[str, str]] = []
    if about:
        text = normalize_width(about, ascii_only=ascii_only)
        parts += [("\n".join(wrap(text, width)) + "\n", "$secondary")]
    shown = {
        action: normalize_width("  ".join(action.keys), ascii_only=ascii_only) for action in actions
    }
    column = min(_MOST_KEYS, max(map(cell_len, shown.values()), default=0)) + 2
    indent = " " * (2 + column)
    for group, members in grouped(actions).items():
        parts.append((("\n" if parts else "") + group + "\n", "bold $primary"))
        for action in members:
            keys = shown[action]
            text = normalize_width(action.explanation, ascii_only=ascii_only)
            lines = wrap(text, max(1, width - len(indent)))
            parts.append((f"  {keys}", "$accent"))
            if cell_len(keys) > column - 2:
                parts.append((f"\n{indent}", ""))
            else:
                parts.append((" " * (column - cell_len(keys)), ""))
            parts.append((f"\n{indent}".join(lines) + "\n", ""))
    return Content.assemble(*parts).rstrip()
