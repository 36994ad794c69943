"""Parts that the Connect and the Sign in form share: account fields, message line, button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from textual.binding import Binding
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Static

from lora_tui.errors import AuthenticationError, LoraTuiError
from lora_tui.secret import Secret
from lora_tui.tui.base_screen import BaseScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.forms import Field
from lora_tui.widgets.remedies import in_the_application

if TYPE_CHECKING:
    from lora_tui.engine.writers import Writers

_LOOK_SECONDS: Final = 0.5
_SIGNING_IN: Final = "Signing in…"
_KEYRING: Final = "Waiting for the keyring, which may ask for its password in a window…"


class Credentials(NamedTuple):
    """What was typed: an e-mail address and a password, or a token."""

    email: str
    password: Secret
    token: Secret
    """Empty where the others are given."""


def account_fields(email: str = "") -> Iterator[Widget]:
    """The fields for e-mail address and password, or for a token instead."""
    yield Field("E-mail", id="email", value=email, placeholder="you@example.org")
    yield Field("Password", id="password", is_secret=True)
    yield Field("or token", id="token", is_secret=True, placeholder="an access token instead")


def field_keys(form: str) -> tuple[Binding, Binding]:
    """The bindings that go from field to field; `form`: the first part of their names in `[keys]`.

    They have priority: keys that follow at once, as a password manager types them, would else go
    into the field that is being left, where an e-mail address is readable.
    """
    return (
        bound(f"{form}.next", "app.focus_next", "Next field", priority=True),
        bound(
            f"{form}.previous", "app.focus_previous", "Previous field", show=False, priority=True
        ),
    )


class FormFoot(Static):
    """The message line: progress, or an error and its remedy; never markup."""

    def __init__(self) -> None:
        super().__init__(markup=False, id="message")
        self._looks: Timer | None = None

    def wait_for_sign_in(self, screen: BaseScreen[Any], writers: Writers) -> None:
        """Show that the sign-in of the screen is under way, and where it waits for the keyring."""

        def look() -> None:
            self.say(_KEYRING if writers.report.waits_for_keyring else _SIGNING_IN)

        self._stop_waiting()
        look()
        self._looks = self.set_interval(_LOOK_SECONDS, screen.while_alive(look))

    def _stop_waiting(self) -> None:
        if self._looks is not None:
            self._looks.stop()
            self._looks = None

    def say(self, text: str, style: str = "$secondary") -> None:
        """Show one sentence."""
        ascii_only = self.app.has_class("-ascii")
        self.update(Content.styled(normalize_width(text, ascii_only=ascii_only), style))

    def fail(self, error: LoraTuiError) -> None:
        """Show an error, and its remedy below it."""
        self._stop_waiting()
        ascii_only = self.app.has_class("-ascii")
        arrow = "> " if ascii_only else "→ "
        lines = [(normalize_width(str(error), ascii_only=ascii_only), "$text-error")]
        remedy = error.remedy
        if remedy and remedy != AuthenticationError.default_remedy:  # that one is this form
            words = in_the_application(self.app, remedy)
            words = normalize_width(words, ascii_only=ascii_only)
            lines.append((f"\n{arrow}{words}", "$secondary"))
        self.update(Content.assemble(*lines))


def submit_button(label: str) -> Button:
    """The form's only button."""
    return Button(label, id="submit", compact=True)


def typed_credentials(form: Widget) -> Credentials | str:
    """What was typed, or the id of the field that is still empty."""
    email, password, token = (
        form.query_one(f"#{name}", Field).value for name in ("email", "password", "token")
    )
    if token:
        return Credentials("", Secret(""), Secret(token))
    if not email:
        return "email"
    if not password:
        return "password"
    return Credentials(email, Secret(password), Secret(""))
