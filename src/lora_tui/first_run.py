"""Two small applications that run before there is a cache: the first run, and a sign-in."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.types import CSSPathType

from lora_tui.account.login import Login
from lora_tui.config.paths import Paths
from lora_tui.config.table import Preferences, Profile
from lora_tui.config.write import set_value
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

    def __init__(self, preferences: Preferences, name: str, paths: Paths) -> None:
        super().__init__(preferences)
        self._profile_name, self._paths = name, paths
        self.wants_demo = False
        self.connected: Profile | None = None

    def on_mount(self) -> None:
        """Show the welcome screen."""
        self.push_screen(WelcomeScreen(str(self._paths.config_file)))

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

        def connected(profile: Profile | None) -> None:
            if profile is not None:
                self.connected = profile
                self.exit()

        self.push_screen(ConnectScreen(self._profile_name, self._paths), connected)


class SignInApp(BaseApp):
    """Shown where a project is configured and nobody is signed in."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH: ClassVar[CSSPathType | None] = "tui/base_app.tcss"

    def __init__(self, preferences: Preferences, login: Login, reason: str) -> None:
        super().__init__(preferences)
        self._login, self._reason = login, reason
        self.signed_in = False

    def on_mount(self) -> None:
        """Show the form."""

        def signed_in(_place: str) -> None:
            self.signed_in = True

        def closed(_: None) -> None:
            self.exit()

        self.push_screen(LoginScreen(self._login, self._reason, signed_in), closed)
