"""The welcome screen, shown where nothing is configured: connect an account, or try the demo."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Center, Middle, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from lora_tui.tui.base_screen import BaseScreen
from lora_tui.widgets.bindings import bound

DEMO: Final = "demo"
CONNECT: Final = "connect"

_CHOICES: Final = (
    (CONNECT, "Connect an account", "your project's URL, its public key, your login"),
    (DEMO, "Try the demo", "made-up models on this machine; no account, no network"),
)


class ChoiceList(OptionList, inherit_bindings=False):
    """The two choices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("welcome.choose", "select", "Choose"),
        bound("list.down", "cursor_down", "Next", show=False),
        bound("list.up", "cursor_up", "Previous", show=False),
    ]


class WelcomeScreen(BaseScreen[None]):
    """Posts `Chosen` to its application."""

    CSS_PATH = "welcome.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("app.theme", "app.other_theme", "Colours"),
        bound("welcome.leave", "app.quit", "Quit"),
        bound("app.quit", "app.quit", "Quit", show=False),
    ]

    class Chosen(Message):
        """DEMO or CONNECT."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, config_file: str) -> None:
        super().__init__()
        self._config_file = config_file

    def compose(self) -> ComposeResult:
        """The name of the program and the two choices, centred."""
        with Middle(), Center(), Vertical(id="welcome"):
            yield Static("lora-tui", id="welcome-name")
            yield Static("Your fine-tuned LoRA adapters, in the terminal", id="welcome-what")
            yield ChoiceList(
                *(
                    Option(Content.assemble((title, "bold"), "\n", (words, "$secondary")), id=name)
                    for name, title, words in _CHOICES
                ),
                markup=False,
                id="welcome-choices",
            )
            yield Static(
                f"Nothing is configured yet. Connecting an account writes\n{self._config_file}",
                markup=False,
                id="welcome-file",
            )
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Highlight the first choice."""
        choices = self.query_one(OptionList)
        choices.highlighted = 0
        choices.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.post_message(self.Chosen(str(event.option_id)))
