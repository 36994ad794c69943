"""The snippets that load an adapter into vLLM, PEFT, llama.cpp or Ollama, one per tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from lora_tui.adapters.serving_remarks import remarks
from lora_tui.adapters.snippets import (
    PLACEHOLDER_BASE,
    PLACEHOLDER_DIRECTORY,
    PROGRAMS,
    ServedAdapter,
    snippet,
)
from lora_tui.errors import LoraTuiError
from lora_tui.screens.chart_screen import Scrolled
from lora_tui.tui.base_screen import FORM_STYLES, Modal
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.remedies import in_the_application

if TYPE_CHECKING:
    from lora_tui.tui.base_app import BaseApp

_TITLES: Final = {"vllm": "vLLM", "peft": "PEFT", "llama.cpp": "llama.cpp", "ollama": "Ollama"}
_GAP: Final = 2


class ProgramTabs(Widget):
    """The names of the programs in a line, with the chosen one marked; a click chooses."""

    chosen: reactive[int] = reactive(0)

    def render(self) -> Content:
        """`1 vLLM  2 PEFT  …`."""
        parts: list[tuple[str, str]] = []
        for number, label in enumerate(self._labels()):
            style = "$block-cursor-foreground on $block-cursor-background"
            parts.append((label, style if number == self.chosen else "$secondary"))
            parts.append((" " * _GAP, ""))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """Choose the one under the pointer."""
        offset = event.get_content_offset(self)
        start = 0
        for number, label in enumerate(self._labels()):
            if offset is not None and start <= offset.x < start + len(label):
                self.chosen = number
            start += len(label) + _GAP

    def _labels(self) -> list[str]:
        return [f" {n} {_TITLES.get(name, name)} " for n, name in enumerate(PROGRAMS, 1)]


class SnippetsScreen(Modal[None]):
    """Shows the snippets; `y` copies one to the clipboard of the terminal."""

    CSS_PATH = [FORM_STYLES, "snippets.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("model.serve", "dismiss(None)", "Close", show=False),
        bound("serve.next", "turn(1)", "Next snippet", show=False),
        bound("serve.previous", "turn(-1)", "Previous snippet", show=False),
        bound("serve.copy", "copy", "Copy the snippet", show=False),
        bound("list.down", "scroll(1)", "Down", show=False),
        bound("list.up", "scroll(-1)", "Up", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
        *(
            bound(f"serve.program_{n}", f"choose({n - 1})", name)
            for n, name in enumerate(PROGRAMS, 1)
        ),
    ]

    def __init__(self, served: ServedAdapter, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._served, self._ascii_only = served, ascii_only

    def compose(self) -> ComposeResult:
        """Tabs, the snippet, and a note about what is missing in it or would go wrong."""
        yield Dialog(
            ProgramTabs(),
            Scrolled(Static(id="snippet", markup=False), Static(id="missing", markup=False)),
            title="Serve this adapter",
            keys=[
                ("serve.previous", "previous"),
                ("serve.next", "next"),
                ("serve.copy", "copies"),
                ("dialog.close", "closes"),
            ],
        )

    def on_mount(self) -> None:
        """Show the snippet of the chosen tab."""
        self.watch(self.query_one(ProgramTabs), "chosen", self._show)

    def action_turn(self, by: int) -> None:
        """Show the next snippet; after the last the first."""
        tabs = self.query_one(ProgramTabs)
        tabs.chosen = (tabs.chosen + by) % len(PROGRAMS)

    def action_choose(self, number: int) -> None:
        """Show one snippet."""
        self.query_one(ProgramTabs).chosen = number

    def action_copy(self) -> None:
        """Copy the snippet to the clipboard of the terminal."""
        text, missing = self._text()
        if missing is None or text:
            app = cast("BaseApp", self.app)
            title = _TITLES[PROGRAMS[self.query_one(ProgramTabs).chosen]]
            app.copy(text, what=f"Snippet for {title}")

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        self.query_one(Scrolled).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, one line of overlap."""
        part = self.query_one(Scrolled)
        part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)

    def _show(self) -> None:
        text, missing = self._text()
        shown = normalize_width(text.rstrip(), ascii_only=self._ascii_only)
        self.query_one("#snippet", Static).update(Content(shown))
        note = self.query_one("#missing", Static)
        note.update(Content(normalize_width(missing or "", ascii_only=self._ascii_only)))
        note.display = missing is not None
        self.query_one(Scrolled).scroll_home(animate=False)

    def _text(self) -> tuple[str, str | None]:
        """The snippet, and a note about what is missing in it, or what the program refuses."""
        program = PROGRAMS[self.query_one(ProgramTabs).chosen]
        try:
            text = snippet(self._served, program)
        except LoraTuiError as error:
            remedy = in_the_application(self.app, error.remedy or "")
            return "", "\n".join(filter(None, (str(error), error.details, remedy)))
        missing = []
        if self._served.directory is None:
            key = key_of(self.app, "model.download")
            missing.append(
                f"Not downloaded yet ({key} on its page downloads it)."
                f" {PLACEHOLDER_DIRECTORY} is a placeholder for its directory."
            )
        if PLACEHOLDER_BASE in text:
            missing.append(f"{PLACEHOLDER_BASE} is a placeholder for the base model.")
        missing += remarks(self._served, program)
        return text, "\n".join(missing) or None
