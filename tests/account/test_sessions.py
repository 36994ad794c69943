"""Where a session is kept, and that two processes can use it at once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lora_tui.account import sessions
from lora_tui.account.login import session_auth
from lora_tui.config.table import Profile
from lora_tui.gateway import Gateway, auth
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.account.keyrings import Desktop, installed
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.waiting import until


@pytest.fixture
def desktop(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    monkeypatch.delenv("LORA_TUI_NO_KEYRING")
    with installed() as backend:
        yield backend


def written(home: Path) -> str:
    files = [file for file in home.rglob("*") if file.is_file()]
    return "".join(file.read_text(errors="replace") for file in files)


def test_the_tokens_go_into_the_keyring_where_there_is_one(
    configured: Sandbox, desktop: Desktop, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("login")
    assert "in the keyring" in ran.err
    [kept] = desktop.kept.values()
    tokens = json.loads(kept)
    for secret in (tokens["access_token"], tokens["refresh_token"]):
        assert secret not in written(home)
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    assert run("sync").code == 0
    assert run("logout").code == 0
    assert desktop.kept == {}
    assert run("whoami").code == 4


def test_commands_that_read_the_cache_do_not_open_the_keyring(
    configured: Sandbox, desktop: Desktop, run: Run
) -> None:
    run("sync")
    desktop.fault = "locked"
    assert run("list").code == 0
    assert run("whoami").out == f"{configured.email}\n"


def test_without_a_keyring_the_session_is_in_a_private_file_and_login_says_so(
    configured: Sandbox, run: Run, home: Path
) -> None:
    ran = run("login")
    assert "a file only you can read" in ran.err
    [file] = (home / "state" / "sessions").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def has_open(process: subprocess.Popen[str], file: Path) -> bool:
    """Whether a process has opened a file: it waits for the lock on it then."""
    place = Path(f"/proc/{process.pid}/fd")
    with suppress(FileNotFoundError):
        return any(link.resolve() == file.resolve() for link in place.iterdir())
    return False


def test_two_processes_that_refresh_at_once_use_the_token_once(
    configured: Sandbox, run: Run, profile: Profile
) -> None:
    run("sync")
    model = whole_model(run)
    configured.faults(access_token_seconds=1)
    assert run("login").code == 0
    configured.clear_faults()
    configured.forget_requests()
    command = [sys.executable, "-m", "lora_tui", "urls", model]
    with sessions.refresh_lock(profile):
        [lock] = (profile.paths.state_dir / "sessions").glob("*.lock")
        running = [
            subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        until(lambda: all(has_open(process, lock) for process in running))
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
    refreshed = [r for r in configured.requests() if "refresh_token" in str(r["query"])]
    assert len(refreshed) == 1
    assert run("sync").code == 0


def test_processes_that_sign_in_first_at_once_make_one_session(
    configured: Sandbox, run: Run, profile: Profile
) -> None:
    with sessions.refresh_lock(profile):
        [lock] = (profile.paths.state_dir / "sessions").glob("*.lock")
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "lora_tui", command],
                env=os.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in ("sync", "sync", "whoami")
        ]
        until(lambda: all(has_open(process, lock) for process in running))
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    grants = [r for r in configured.requests() if "grant_type=password" in str(r["query"])]
    assert len(grants) == 1
    assert len(list((profile.paths.state_dir / "sessions").glob("*.json"))) == 1
    configured.forget_requests()
    configured.faults(clock_offset=7200)  # the session has to be renewed
    assert run("sync").code == 0
    queries = [str(r["query"]) for r in configured.requests() if "grant_type" in str(r["query"])]
    assert queries
    assert all("refresh_token" in query for query in queries)


@pytest.mark.parametrize("then", ["another account signs in", "the session is signed out"])
def test_a_renewal_does_not_restore_a_session_that_was_replaced_or_ended(
    configured: Sandbox, run: Run, profile: Profile, then: str
) -> None:
    assert run("login").code == 0
    signed_in = session_auth(profile)
    if then == "another account signs in":
        other = auth.sign_in(
            configured.url,
            configured.anon_key,
            configured.other_email,
            Secret(configured.other_password),
        )
        sessions.save_session(profile, other)
    else:
        assert run("logout", "--offline").code == 0
    before = sessions.signed_in(profile)
    configured.faults(clock_offset=7200)
    with Gateway.of(configured.url, signed_in) as gateway:
        gateway.rest.count("model_artifacts", configured.user_id)
    assert sessions.signed_in(profile) == before


def test_an_unusable_lock_file_is_reported_in_a_sentence(
    configured: Sandbox, run: Run, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("login").code == 0
    [stored] = (profile.paths.state_dir / "sessions").glob("*.json")
    stored.with_suffix(".lock").mkdir()
    configured.faults(clock_offset=7200)
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    result = run("sync")
    assert result.code == 1
    assert "The session can't be renewed" in result.err
