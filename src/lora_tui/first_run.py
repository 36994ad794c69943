"""Two small applications that run before there is a cache: the first run, and a sign-in."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.types import CSSPathType

from lora_tui.config.paths import Paths
from lora_tui.config.table import Preferences
from lora_tui.config.write import set_value
from lora_tui.engine.account_form import AccountForm
from lora_tui.engine.writers import Writers
from lora_tui.errors import LoraTuiError
from lora_tui.screens.connect import ConnectScreen
from lora_tui.screens.login import LoginScreen
from lora_tui.screens.welcome import DEMO, WelcomeScreen
from lora_tui.tui.base_app import BaseApp
from lora_tui.widgets.bindings import bound


class FirstRunApp(BaseApp):
    """Shown where nothing is configured: the demo, or connecting an account."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH: ClassVar[CSSPathType | None] = "tui/base_app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("app.theme", "other_theme", "Colours", show=False),
    ]

    def __init__(self, preferences: Preferences, name: str, paths: Paths, writers: Writers) -> None:
        """`name`: of the profile that is added. The caller closes `writers`, which have none."""
        super().__init__(preferences)
        self._profile_name, self._paths, self._writers = name, paths, writers
        self.wants_demo = False
        self.connected = False
        """Whether a profile was added to the file, signed in."""

    def on_mount(self) -> None:
        """Show the welcome screen; start the engine after the first frame."""
        self.push_screen(WelcomeScreen(str(self._paths.config_file)))
        _start_engine(self, self._writers)

    def action_other_theme(self) -> None:
        """Switch to the next theme and store it."""
        if self.use_theme(self.next_theme()):
            try:
                set_value(self._paths.config_file, self._profile_name, "theme", self.theme)
            except LoraTuiError as error:
                self.show_error(error, title="Theme not stored")

    @on(WelcomeScreen.Chosen)
    def _chosen(self, event: WelcomeScreen.Chosen) -> None:
        if event.what == DEMO:
            self.wants_demo = True
            self.exit()
            return

        def connected(done: bool | None) -> None:
            if done:
                self.connected = True
                self.exit()

        self.push_screen(ConnectScreen(self._profile_name, self._writers), connected)


class SignInApp(BaseApp):
    """Shown where a project is configured and nobody is signed in."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH: ClassVar[CSSPathType | None] = "tui/base_app.tcss"

    def __init__(self, preferences: Preferences, account: AccountForm, reason: str) -> None:
        """The caller closes the writers of `account`."""
        super().__init__(preferences)
        self._account, self._reason = account, reason
        self.signed_in = False

    def on_mount(self) -> None:
        """Show the form; start the engine after the first frame."""

        def signed_in(_place: str) -> None:
            self.signed_in = True

        def closed(_: None) -> None:
            self.exit()

        self.push_screen(LoginScreen(self._account, self._reason, signed_in), closed)
        _start_engine(self, self._account.writers)


def _start_engine(app: BaseApp, writers: Writers) -> None:
    """Start the engine after the first frame, in a thread: its modules are loaded then."""

    def start() -> None:
        app.start(writers.start, lambda _: None, name="engine")

    app.call_after_refresh(start)
