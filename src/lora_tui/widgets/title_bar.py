"""The first line of a screen: where one is, and at the right how it is arranged."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lora_tui.widgets.cells import fit, settled


class TitleBar(Widget):
    """`title` in bold, `detail` after it, `aside` at the right. All of it may be remote text."""

    ALLOW_SELECT = False

    title_text: reactive[str] = reactive("")
    detail: reactive[str] = reactive("")
    aside: reactive[str] = reactive("")

    def __init__(self, title: str, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self.set_reactive(TitleBar.title_text, title)

    def render(self) -> Content:
        """One line; the detail is cut where it is too long."""
        width = self.size.width
        title = settled(self.title_text, ascii_only=self._ascii_only)
        aside = settled(self.aside, ascii_only=self._ascii_only)
        if cell_len(title) + cell_len(aside) + 6 > width:
            aside = ""
        gap = "  " if aside else ""
        middle = max(0, width - cell_len(title) - cell_len(gap + aside) - 4)
        return Content.assemble(
            (f" {title}", "bold $primary"),
            ("  " + fit(self.detail, middle, ascii_only=self._ascii_only), "$secondary"),
            (f"{gap}{aside} ", "$secondary"),
        )
