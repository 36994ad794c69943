"""The menu that writes the report on a model as Markdown or HTML, into a file or the clipboard."""

from __future__ import annotations

from enum import StrEnum
from sqlite3 import Connection
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.documents.model_report import read_card
from lora_tui.filenames import slug
from lora_tui.reports.model_card import to_html
from lora_tui.reports.model_markdown import to_markdown
from lora_tui.screens.list_form import ListForm
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Dialog


class Export(StrEnum):
    """What may be done with the report, in the order of the menu."""

    MARKDOWN = "md"
    PAGE = "html"
    COPY = "copy"


_NAMES: Final = {
    Export.MARKDOWN: "Markdown file, for GitHub and Slack",
    Export.PAGE: "HTML file, one page with the curve",
    Export.COPY: "Copy the Markdown",
}


class ExportMenu(ListForm[Export | None]):
    """Answers what was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("model.report", "dismiss(None)", "Close", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def compose(self) -> ComposeResult:
        """One line for each."""
        options = [Option(text, id=each.value) for each, text in _NAMES.items()]
        yield Dialog(OptionList(*options, markup=False), title="Report", note="enter chooses")

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(list(_NAMES)[event.option_index])


def ask_for_report(screen: CacheScreen, model_id: str, name: str) -> None:
    """Open the menu, and do what is chosen there; it goes on when the screen is closed."""

    def markdown(db: Connection) -> str:
        return to_markdown(read_card(db, model_id))

    def page(db: Connection) -> str:
        return to_html(read_card(db, model_id))

    def chosen(wanted: Export | None) -> None:
        match wanted:
            case Export.MARKDOWN:
                screen.export(f"{slug(name)}.md", markdown)
            case Export.PAGE:
                screen.export(f"{slug(name)}.html", page)
            case Export.COPY:
                screen.copy_made(markdown, what="Report as Markdown")

    screen.app.push_screen(ExportMenu(), screen.while_alive(chosen))
