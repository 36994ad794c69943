"""The menu of servers, which is opened to ask one, or to load a model into one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lora_tui.screens.list_form import ChoiceForm
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog


class ServerMenu(ChoiceForm):
    """Answers the name of the chosen server, or None.

    A subclass has the binding by which the key that opens it closes it too.
    """

    WIDTHS: ClassVar[tuple[int, ...]] = (20, 40)
    """Cells of each column: the name, then what is told of a server."""
    MOST_LINES: ClassVar = 12
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Choose", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(
        self,
        title: str,
        servers: Mapping[str, Sequence[str]],
        *,
        current: str,
        marked: Collection[str],
        heading: str = "",
        keys: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`servers`: name → what the other columns tell. The cursor starts at `current`.

        `keys`: see `Dialog`.
        """
        super().__init__()
        self._title, self._heading, self._keys = title, heading, keys
        self._servers, self._current, self._marked = servers, current, marked
        self.shown = list(servers)

    def compose(self) -> ComposeResult:
        """One line per server."""
        above = []
        if self._heading:
            ascii_only = self.app.has_class("-ascii")
            heading = fit(self._heading, sum(self.WIDTHS) + 2, ascii_only=ascii_only).rstrip()
            above = [Static(heading, markup=False, classes="dialog-heading")]
        yield Dialog(
            *above,
            OptionList(*(Option(self._line(name)) for name in self.shown), markup=False),
            title=self._title,
            keys=self._keys,
        )

    def on_mount(self) -> None:
        """Start at the current server."""
        listing = self.query_one(OptionList)
        listing.styles.height = min(self.MOST_LINES, len(self.shown))
        if self._current in self.shown:
            listing.highlighted = self.shown.index(self._current)
        listing.focus()

    def _line(self, name: str) -> Content:
        ascii_only = self.app.has_class("-ascii")
        mark = ("*" if ascii_only else "●") if name in self._marked else " "
        cells = zip((name, *self._servers[name]), self.WIDTHS, strict=True)
        shown = (fit(text, width, ascii_only=ascii_only) for text, width in cells)
        return Content(" ".join((mark, *shown)))


class AskMenu(ServerMenu):
    """The servers that Try can ask; the one that it asks is marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("try.server", "dismiss(None)", "Close", show=False)
    ]

    def __init__(self, current: str, notes: Mapping[str, str]) -> None:
        """`notes`: server → what it has of the models, and whether it answers."""
        servers = {name: (note,) for name, note in notes.items()}
        super().__init__("Ask on", servers, current=current, marked=(current,))
