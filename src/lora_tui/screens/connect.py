"""Connect an account: project, key and login, each checked as soon as it is typed."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Button, Footer, Input, Static

from lora_tui.config.kinds import checked_url
from lora_tui.engine.writers import Writers
from lora_tui.errors import ConfigError, LoraTuiError, UnreachableError
from lora_tui.screens.login_form import (
    Credentials,
    FormFoot,
    account_fields,
    field_keys,
    submit_button,
    typed_credentials,
)
from lora_tui.tui.base_screen import FORM_STYLES, BaseScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.forms import Field, FieldState
from lora_tui.widgets.screen_bars import TitleBar

_WHERE: Final = (
    "Both are in the project's dashboard under Settings, API keys. The public key is the anon or "
    "publishable one; the secret one is not needed here."
)


class ConnectScreen(BaseScreen[bool]):
    """Returns whether a profile was added to the file, signed in; False: the user went back."""

    CSS_PATH = [FORM_STYLES, "connect.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("connect.back", "dismiss(False)", "Back", priority=True),
        *field_keys("connect"),
        bound("connect.submit", "submit", "Go on"),
        bound("connect.quit", "app.quit", "Quit", priority=True),
    ]

    def __init__(self, name: str, writers: Writers) -> None:
        super().__init__()
        self._profile_name, self._writers = name, writers
        self._checked: tuple[str, str] | None = None
        """URL and key that were checked, or are being checked."""
        self._busy = False
        self._said_of_project = False
        """Whether the message line is about the project, not about the login."""

    def compose(self) -> ComposeResult:
        """The project, then the account."""
        ascii_only = self.app.has_class("-ascii")
        yield TitleBar("lora-tui: connect an account", ascii_only=ascii_only)
        with VerticalScroll(id="form", can_focus=False):
            yield Static("Project", classes="form-heading")
            yield Field("URL", id="url", placeholder="https://your-project.supabase.co")
            yield Field("Public key", id="key", placeholder="sb_publishable_... or eyJ...")
            yield Static(_WHERE, classes="form-help", markup=False)
            yield Static("Account", classes="form-heading")
            yield from account_fields()
            yield FormFoot()
            yield submit_button("Connect")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Focus the first field."""
        self.query_one("#url", Field).input.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Remove the verdict on the former value."""
        field = event.input.parent
        if isinstance(field, Field):
            field.show(FieldState.UNKNOWN)

    @on(Input.Blurred)
    def _left(self, event: Input.Blurred) -> None:
        field = event.input.parent
        if not isinstance(field, Field) or not field.value:
            return
        if field.id == "url" and self._url() is None:
            return
        if field.id in ("url", "key"):
            self._ask_project()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        """Focus the next field; connect from the last one that is needed."""
        fields = list(self.query(Field))
        field = event.input.parent
        assert isinstance(field, Field)
        if field.id == "url" and self._url() is None:
            return
        last = field.id == "token" or (field.id == "password" and field.value)
        if last:
            self.action_submit()
        else:
            fields[fields.index(field) + 1].input.focus()

    @on(Button.Pressed)
    def action_submit(self) -> None:
        """Sign in with the typed values; close only where all of them work."""
        if self._busy:
            return
        url, key = self._url(), self.query_one("#key", Field)
        if url is None or not key.value:
            (key if url else self.query_one("#url", Field)).input.focus()
            self.query_one(FormFoot).say("The project's URL and its public key are needed first")
            return
        typed = typed_credentials(self)
        if isinstance(typed, str):
            self.query_one(f"#{typed}", Field).input.focus()
            self.query_one(FormFoot).say("E-mail and password are needed, or a token")
            return
        self._busy = True
        self.query_one(FormFoot).wait_for_sign_in(self, self._writers)

        def connected(place: str) -> None:
            self.notify(f"The session is kept in {place}", title="Connected")
            self.answer(True)

        def failed(error: LoraTuiError) -> None:
            self._busy = self._said_of_project = False
            self.query_one(FormFoot).fail(error)

        connect = partial(self._connect, url, key.value, typed)
        self.start(connect, connected, failed=failed, name="login")

    def _connect(self, url: str, anon_key: str, typed: Credentials) -> str:
        self._writers.start()  # once more, where it had failed
        return self._writers.connect_project(self._profile_name, url, anon_key, **typed._asdict())

    def _check(self, url: str, anon_key: str) -> None:
        self._writers.start()
        self._writers.check_project(url, anon_key)

    def _url(self) -> str | None:
        """The URL; None where it is not one, which the field then says."""
        field = self.query_one("#url", Field)
        try:
            return checked_url(field.value, "This")
        except ConfigError as error:
            if field.value:
                field.show(FieldState.BAD, "not usable")
                self._said_of_project = True
                self.query_one(FormFoot).fail(error)
            return None

    def _ask_project(self) -> None:
        """Check that the project answers and accepts the key; once for each pair."""
        url, key = self._url(), self.query_one("#key", Field).value
        if url is None or not key or self._checked == (url, key):
            return
        self._checked = (url, key)
        address, field = self.query_one("#url", Field), self.query_one("#key", Field)
        address.show(FieldState.CHECKING, "asking")

        def answers(_: None) -> None:
            address.show(FieldState.GOOD, "answers")
            field.show(FieldState.GOOD, "accepted")
            if self._said_of_project and not self._busy:
                self._said_of_project = False
                self.query_one(FormFoot).say("")

        def failed(error: LoraTuiError) -> None:
            self._checked = None
            unreachable = isinstance(error, UnreachableError)
            address.show(*((FieldState.BAD, "no answer") if unreachable else (FieldState.UNKNOWN,)))
            if not unreachable:
                field.show(FieldState.BAD, "refused")
            self._said_of_project = True
            self.query_one(FormFoot).fail(error)

        self.start(
            partial(self._check, url, key), answers, failed=failed, name="check", exclusive="check"
        )

    def on_resize(self, event: events.Resize) -> None:
        """On a low or narrow terminal hide the help texts."""
        self.set_class(event.size.height < 20, "-low")
        self.set_class(event.size.width < 70, "-narrow")
