"""Sign in again after the session has ended; the screen below stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Button, Input, Static

from lora_tui.engine.account_form import AccountForm
from lora_tui.errors import LoraTuiError
from lora_tui.screens.login_form import (
    FormFoot,
    account_fields,
    field_keys,
    submit_button,
    typed_credentials,
)
from lora_tui.tui.base_app import BaseApp
from lora_tui.tui.base_screen import FORM_STYLES, Modal
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.forms import Dialog, Field


class LoginScreen(Modal[None]):
    """Calls `signed_in` with the place of the new session, even if the form was left before."""

    CSS_PATH = [FORM_STYLES, "login.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        *field_keys("login"),
        bound("login.leave", "dismiss(None)", "Not now", show=False, priority=True),
    ]

    def __init__(self, account: AccountForm, reason: str, signed_in: Callable[[str], None]) -> None:
        super().__init__()
        self._account, self._reason, self._signed_in = account, reason, signed_in
        self._busy = False

    def compose(self) -> ComposeResult:
        """The reason, the account, the password."""
        between = " - " if self.app.has_class("-ascii") else " · "
        yield Dialog(
            Static(self._reason, markup=False, id="reason"),
            *account_fields(self._account.email),
            FormFoot(),
            submit_button("Sign in"),
            title="Sign in",
            note=f"enter signs in{between}{key_of(self.app, 'login.leave')} not now",
        )

    def on_mount(self) -> None:
        """Focus the first field that is empty."""
        empty = "password" if self._account.email else "email"
        self.query_one(f"#{empty}", Field).input.focus()

    @on(Input.Submitted)
    @on(Button.Pressed)
    def _submitted(self) -> None:
        if self._busy:
            return
        typed = typed_credentials(self)
        if isinstance(typed, str):
            self.query_one(f"#{typed}", Field).input.focus()
            return
        self._busy = True
        self.query_one(FormFoot).wait_for_sign_in(self, self._account.writers)

        def signed_in(place: str) -> None:
            self.answer(None)
            self._signed_in(place)

        # the session is stored by then, whether the form is still there or not
        sign_in = partial(self._account.sign_in, *typed)
        cast("BaseApp", self.app).start(sign_in, signed_in, failed=self._fail, name="login")

    def _fail(self, error: LoraTuiError) -> None:
        self._busy = False
        if self.is_alive:
            self.query_one(FormFoot).fail(error)
