"""What the forms for signing in and out read of an account, and ask the engine for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lora_tui.account import sessions

if TYPE_CHECKING:
    from lora_tui.config.table import Profile
    from lora_tui.engine.writers import Writers
    from lora_tui.secret import Secret


class AccountForm(NamedTuple):
    """A profile, and the writers that sign in to it."""

    profile: Profile
    writers: Writers

    @property
    def email(self) -> str:
        """Who signed in last, or who is configured; may be empty."""
        return sessions.last_email(self.profile)

    def sign_in(self, email: str, password: Secret, token: Secret) -> str:
        """See `Writers.sign_in`; an engine that had failed is started again."""
        self.writers.start()
        return self.writers.sign_in(email, password=password, token=token)

    def sign_out(self) -> str | None:
        """See `Writers.sign_out`; an engine that had failed is started again."""
        self.writers.start()
        return self.writers.sign_out()
