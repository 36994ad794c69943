"""`list` finds the account's cache, however it is configured, and says what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from lora_tui.account.sessions import load_session
from lora_tui.config.paths import Paths, find_paths
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.conftest import Run


def plain_home(directory: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A configuration file and the directories of XDG, as an ordinary user has them."""
    for name in list(os.environ):
        if name.startswith(("LORA_TUI_", "SUPABASE_", "GPU_CLUSTER_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LORA_TUI_NO_KEYRING", "1")
    monkeypatch.setenv("HOME", str(directory))
    paths = find_paths()
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_text(
        f'[ui]\ntheme = "night"\n\n[profiles.work]\nurl = "{sandbox.url}"\n'
        f'anon_key = "{sandbox.anon_key}"\nemail = "{sandbox.email}"\n'
    )
    return paths


def test_an_ordinary_home_with_a_configuration_and_a_stored_session(
    small_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    paths = plain_home(tmp_path / "me", small_sandbox, monkeypatch)
    monkeypatch.setenv("LORA_TUI_PROFILE", "work")
    with monkeypatch.context() as patch:
        patch.setenv("LORA_TUI_PASSWORD", small_sandbox.password)
        assert run("login").code == 0
        assert run("sync").code == 0
    assert "6 of 6" in run("list").err
    monkeypatch.delenv("LORA_TUI_PROFILE")
    assert "6 of 6" in run("list", "--profile", "work").err
    assert "6 of 6" in run("--profile=work", "--config", str(paths.config_file), "list").err
    monkeypatch.setenv("XDG_CACHE_HOME", str(paths.cache_dir.parent))
    assert "6 of 6" in run("list", "--profile", "work").err


def test_a_page_beyond_the_last_is_empty(configured: Sandbox, run: Run) -> None:
    run("sync")
    ran = run("list", "--limit", "4", "--page", "99")
    assert (ran.code, ran.out) == (0, "")
    assert "No models on this page, 6 in all" in ran.err
    assert run("list", "--json", "--limit", "4", "--page", "99").data == {
        "models": [],
        "pagination": {"page": 99, "limit": 4, "total": 6, "totalPages": 2},
    }


def cache_of(profile: Profile) -> Path:
    session = load_session(profile)
    assert session is not None
    return profile.cache_path(session.user_id)


def test_a_cache_that_others_can_read_becomes_private(
    configured: Sandbox, profile: Profile, run: Run
) -> None:
    run("sync")
    path = cache_of(profile)
    path.chmod(0o644)
    assert run("list").code == 0
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("PRAGMA user_version = 99", 1),
        ("UPDATE facts SET value = 'another' WHERE key = 'owner.user'", 1),
        ("DROP TABLE transfers", 1),
        ("DELETE FROM facts WHERE key LIKE 'owner.%'", 0),
    ],
)
def test_a_cache_that_is_not_in_order_ends_in_one_line(
    configured: Sandbox, profile: Profile, run: Run, statement: str, code: int
) -> None:
    run("sync")
    db = sqlite3.connect(cache_of(profile))
    with db:
        db.execute(statement)
    db.close()
    ran = run("list")
    assert ran.code == code
    assert len(ran.err.splitlines()) == 1
