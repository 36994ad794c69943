"""The menu of the servers that can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.screens.list_form import ChoiceForm
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog

_NAME: Final = 20
_NOTE: Final = 40
_MOST_LINES: Final = 12


class ServerLine(NamedTuple):
    """One server of the menu."""

    name: str
    note: str
    """What it has of the models, and whether it answers."""


class ServerMenu(ChoiceForm):
    """Answers the name of the chosen server, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("try.server", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Choose", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(self, current: str, servers: Sequence[ServerLine]) -> None:
        super().__init__()
        self._current, self._servers = current, servers
        self.shown = [server.name for server in servers]

    def compose(self) -> ComposeResult:
        """One line per server; the current one is marked."""
        yield Dialog(
            OptionList(*(Option(self._line(one)) for one in self._servers), markup=False),
            title="Ask on",
        )

    def on_mount(self) -> None:
        """Start at the current server."""
        listing = self.query_one(OptionList)
        listing.styles.height = min(_MOST_LINES, len(self.shown))
        if self._current in self.shown:
            listing.highlighted = self.shown.index(self._current)
        listing.focus()

    def _line(self, server: ServerLine) -> Content:
        ascii_only = self.app.has_class("-ascii")
        mark = ("*" if ascii_only else "●") if server.name == self._current else " "
        name = fit(server.name, _NAME, ascii_only=ascii_only)
        return Content(f"{mark} {name} {fit(server.note, _NOTE, ascii_only=ascii_only)}")
