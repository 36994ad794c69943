"""Forms for signing in and out, without an engine and with one that runs in the test's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lora_tui.account import sessions
from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.engine.account_form import AccountForm
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.protocol import Hello
from lora_tui.engine.requests import Requests
from lora_tui.engine.writers import EngineReport
from lora_tui.errors import AuthenticationError
from tests.engine.in_process import in_process_writers

if TYPE_CHECKING:
    from lora_tui.engine.writers import Writers
    from lora_tui.secret import Secret

NOWHERE = "http://127.0.0.1:9"


@dataclass
class FakeAccountWriters:
    """Accepts one password or token, `secret`, and stores nothing."""

    before: Callable[[], object] = lambda: None
    """Called before it answers."""
    asked: list[str] = field(default_factory=list)
    report: EngineReport = field(default_factory=lambda: EngineReport(starting=False))

    def start(self) -> None:
        self.asked.append("start")

    def sign_in(self, email: str, *, password: Secret, token: Secret) -> str:
        del email
        self.asked.append("sign_in")
        self.before()
        if "secret" not in (password.reveal(), token.reveal()):
            raise AuthenticationError("Wrong e-mail address or password")
        return "a file only you can read"

    def check_project(self, url: str, anon_key: str) -> None:
        self.asked.append("check_project")

    def connect_project(
        self, name: str, url: str, anon_key: str, *, email: str, password: Secret, token: Secret
    ) -> str:
        return self.sign_in(email, password=password, token=token)

    def sign_out(self) -> str | None:
        self.asked.append("sign_out")
        return None


def fake_form(directory: Path, writers: FakeAccountWriters | None = None) -> AccountForm:
    """The forms of a profile that names ada@example.org."""
    paths = Paths(directory / "config", directory, directory, directory)
    profile = Profile("demo", paths, NOWHERE, "anon", email="ada@example.org")
    return form_of(profile, writers)


def form_of(profile: Profile, writers: FakeAccountWriters | None = None) -> AccountForm:
    """The forms of this profile, with writers that store nothing."""
    return AccountForm(profile, fake_writers(writers))


def fake_writers(writers: FakeAccountWriters | None = None) -> Writers:
    """Writers that only the forms ask, and that store nothing."""
    return cast("Writers", writers or FakeAccountWriters())


def real_form(profile: Profile) -> AccountForm:
    """The forms of this profile, with an engine in process; the caller closes its writers."""
    account = sessions.signed_in(profile)
    owner = sessions.cache_owner(profile, account.user_id) if account else None

    def open_requests(_hello: Hello, tell: Callable[[str, object], None]) -> Requests:
        connect = partial(OnlineWriters, profile)
        return Requests(profile.paths, profile, owner, connect=connect, tell=tell)

    return AccountForm(profile, in_process_writers(open_requests))
