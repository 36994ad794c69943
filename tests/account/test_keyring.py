"""Every command works, whatever the keyring does: it works, is locked, fails, or never answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from lora_tui import clock
from lora_tui.account import keyring_store, sessions
from lora_tui.config.load import load_profile
from lora_tui.engine.protocol import Hello
from lora_tui.engine.requests import open_requests
from lora_tui.sandbox import Sandbox
from tests.account.keyrings import Desktop, installed
from tests.account.test_login import sign_ins, stored
from tests.conftest import Ran, Run
from tests.engine.in_process import in_process_writers
from tests.push.adapter import write_adapter

FAULTS = ("blocks", "raises", "locked")


@pytest.fixture
def desktop(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Desktop]:
    """Only a keyring that never answers is given up soon: a busy machine is slow as well."""
    monkeypatch.delenv("LORA_TUI_NO_KEYRING")

    def set_patience(fault: str) -> None:
        share = 0.01 if fault == "blocks" else 2.0
        for name, seconds in (("ATTENDED", 30.0), ("UNATTENDED", 20.0), ("HINT", 10.0)):
            monkeypatch.setattr(keyring_store, f"{name}_SECONDS", share * seconds)

    set_patience("")
    with installed() as backend:
        backend.on_fault = set_patience
        yield backend


def told(ran: Ran, caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about the keyring that a command has said."""
    lines = [*ran.err.splitlines(), *(record.getMessage() for record in caplog.records)]
    caplog.clear()
    return sorted({line for line in lines if "eyring" in line})


@pytest.fixture(autouse=True)
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has an adapter, for `push`."""
    monkeypatch.chdir(write_adapter(tmp_path / "adapter"))


COMMANDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "whoami": lambda model: ("whoami",),
    "sync": lambda model: ("sync",),
    "urls": lambda model: ("urls", model, "--json"),
    "doctor": lambda model: ("doctor", "--json"),
    "inspect": lambda model: ("inspect", model),
    "download": lambda model: ("download", model, "--json"),
    "push": lambda model: ("push", ".", "--dry-run"),
}


@pytest.mark.parametrize(
    ("fault", "command"),
    [*(("blocks", command) for command in COMMANDS), ("raises", "sync"), ("locked", "sync")],
)
def test_a_configured_password_is_used_where_the_keyring_does_not_give_the_session(
    configured: Sandbox,
    desktop: Desktop,
    run: Run,
    home: Path,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    command: str,
) -> None:
    assert run("sync").code == 0
    assert [session["kept_in"] for session in stored(home)] == ["keyring"]
    model = run("list", "--json").data["models"][0]["id"]
    desktop.fault = fault
    configured.forget_requests()
    caplog.clear()
    words = COMMANDS[command](model)
    ran = run(*words)
    assert ran.code != 4, ran
    assert "Nobody" not in ran.err + ran.out
    if command == "doctor":
        checks = {check["check"]: check for check in ran.data["checks"]}
        assert checks["auth"]["verdict"] == "ok"
    if command == "whoami":  # needs no token
        assert sign_ins(configured) == 0
        return
    expected = "does not answer" if fault == "blocks" else "refuses"
    [line] = told(ran, caplog)
    assert f"The keyring {expected}" in line
    assert "a file only you can read" in line
    assert "a secret of the bus" not in line
    assert sign_ins(configured) == 1
    [session] = stored(home)
    assert "access_token" in session
    assert run(*words).code == ran.code  # with the session of the file, and not a word more
    assert sign_ins(configured) == 1
    assert told(ran, caplog) == []


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        *(("blocks", command) for command in ("whoami", "sync", "urls", "doctor")),
        *((fault, "whoami") for fault in ("raises", "locked", "none")),
    ],
)
def test_the_first_command_signs_in_whatever_the_keyring_does(
    configured: Sandbox,
    desktop: Desktop,
    run: Run,
    home: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    command: str,
) -> None:
    if fault == "none":
        monkeypatch.setenv("LORA_TUI_NO_KEYRING", "1")
    desktop.fault = fault
    ran = run(*COMMANDS[command]("a model"))
    assert ran.code != 4, ran
    assert len(told(ran, caplog)) == (0 if fault == "none" else 1)
    [session] = stored(home)
    assert "access_token" in session
    assert sign_ins(configured) == 1


@pytest.mark.parametrize(
    ("fault", "command"), [*(("blocks", c) for c in ("sync", "urls", "push")), ("locked", "sync")]
)
def test_without_a_password_every_command_says_that_the_keyring_has_the_session(
    configured: Sandbox,
    desktop: Desktop,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    command: str,
) -> None:
    assert run("sync").code == 0
    model = run("list", "--json").data["models"][0]["id"]
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    desktop.fault = fault
    ran = run(*COMMANDS[command](model), *(["--json"] if command == "sync" else []))
    assert ran.code == 4, ran
    text = ran.err + ran.out
    assert "The session is in the keyring, which" in text
    assert "nlock the keyring" in text
    assert run("whoami").out == f"{configured.email}\n"  # needs no token
    assert run("list").code == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_login_and_logout_work_whatever_the_keyring_does(
    configured: Sandbox, desktop: Desktop, run: Run, home: Path, fault: str
) -> None:
    assert run("login").code == 0
    desktop.fault = fault
    ran = run("login", "--json")
    assert ran.data["kept_in"] == "file"
    assert run("sync").code == 0
    assert run("logout").code == 0
    assert stored(home) == []


def test_a_keyring_that_answers_again_gets_the_session_at_its_renewal(
    configured: Sandbox, desktop: Desktop, run: Run, home: Path
) -> None:
    desktop.fault = "blocks"
    assert run("sync").code == 0
    desktop.answer()
    profile = load_profile()
    session = sessions.load_session(profile)
    assert session is not None
    sessions.save_session(profile, session._replace(expires_at=clock.now()))
    assert run("sync").code == 0
    assert [session["kept_in"] for session in stored(home)] == ["keyring"]
    assert session.refresh_token.reveal() not in json.dumps(list(desktop.kept.values()))


def test_a_keyring_that_does_not_answer_is_waited_for_once(
    configured: Sandbox, desktop: Desktop, run: Run
) -> None:
    assert run("login").code == 0
    desktop.fault, desktop.calls = "blocks", 0
    assert run("sync").code == 0
    assert desktop.calls == 1


def test_a_user_is_told_what_is_waited_for(
    configured: Sandbox,
    desktop: Desktop,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert run("sync").code == 0
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    desktop.fault = "blocks"
    ran = run("sync")
    assert ran.code == 4
    [error, hint] = sorted(told(ran, caplog), key=lambda line: "Waiting" in line)
    assert "which does not answer" in error
    assert "Waiting for the keyring" in hint


def test_the_engine_tells_that_it_waits_for_the_keyring_and_that_it_does_no_more(
    configured: Sandbox, desktop: Desktop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    monkeypatch.setattr(keyring_store, "ATTENDED_SECONDS", 60.0)
    monkeypatch.setattr(keyring_store, "on_wait", keyring_store.on_wait)  # it is set below
    desktop.fault = "blocks"
    profile = load_profile()
    account = sessions.account_of(profile)
    assert account is not None
    owner = sessions.cache_owner(profile, account.user_id)
    hello = Hello(None, None, offline=False, owner=owner)
    changed = threading.Semaphore(0)
    with (
        closing(in_process_writers(open_requests, hello)) as writers,
        ThreadPoolExecutor() as threads,
    ):
        writers.on_change = changed.release
        sync = threads.submit(writers.sync)
        while not writers.report.waits_for_keyring:
            changed.acquire()
        desktop.answer()
        sync.result()
        while writers.report.waits_for_keyring:
            changed.acquire()


class Plain(Desktop):
    """Keeps plain text in a file, as `keyrings.alt` does, or asks for a password."""

    priority = 0.5  # type: ignore[assignment]
    viable = False
    """Not one that the package finds by itself."""


class Chain(KeyringBackend):
    """As the package's ChainerBackend, which it prefers where it finds more than one keyring."""

    priority = 10  # type: ignore[assignment]
    viable = False

    def __init__(self, *members: Desktop) -> None:
        super().__init__()
        self.backends = sorted(members, key=lambda member: member.priority, reverse=True)

    def get_password(self, service: str, username: str) -> str | None:
        found = (member.get_password(service, username) for member in self.backends)
        return next(filter(None, found), None)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.backends[0].set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        self.backends[0].delete_password(service, username)


def test_of_several_keyrings_only_the_best_is_asked(desktop: Desktop) -> None:
    plain = Plain()
    keyring.set_keyring(Chain(plain, desktop))
    assert keyring_store.read("name", patience=60) is None
    assert keyring_store.write("name", "token", patience=60)
    assert keyring_store.read("name", patience=60) == "token"
    assert (desktop.calls, plain.calls) == (3, 0)


@pytest.mark.usefixtures("desktop")
def test_keyrings_that_do_not_encrypt_are_not_used_together_either() -> None:
    plain, other = Plain(), Plain()
    keyring.set_keyring(Chain(plain, other))
    assert not keyring_store.write("name", "token", patience=60)
    assert keyring_store.read("name", patience=60) is None
    keyring_store.remove("name")
    assert (plain.calls, other.calls) == (0, 0)
