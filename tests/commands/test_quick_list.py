"""`list` in the ordinary case prints, word for word, what it prints in every case."""

from __future__ import annotations

import os
import sqlite3
from argparse import Namespace
from pathlib import Path

import pytest

from lora_tui import quick_list
from lora_tui.account.sessions import load_session
from lora_tui.config.profile import KEYS, Paths, Profile, find_paths, load_profile
from lora_tui.plain_account import KNOWN, _directories
from lora_tui.sandbox import Sandbox
from tests.conftest import Ran, Run


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call of `list` was answered quickly."""
    given: list[bool] = []
    answered = quick_list.answered

    def noted(arguments: Namespace) -> bool:
        given.append(answered(arguments))
        return given[-1]

    monkeypatch.setattr(quick_list, "answered", noted)
    return given


@pytest.fixture
def both(answers: list[bool], run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `list` both ways, which must be the same; the quick one must have answered."""

    def call(*words: str) -> Ran:
        quick = run(*words)
        assert answers[-1], words
        with monkeypatch.context() as patch:
            patch.setattr(quick_list, "answered", lambda _: False)
            assert run(*words) == quick
        return quick

    return call


SORTS = ("created", "quality", "name", "cost", "loss", "duration", "size", "perplexity")


def test_every_order_page_and_form_is_the_same(configured: Sandbox, run: Run, both: Run) -> None:
    run("sync")
    for order in ((), *(("--sort", sort) for sort in SORTS)):
        for reverse in ((), ("--reverse",)):
            both("list", *order, *reverse)
    for form in ((), ("--json",), ("--jsonl",)):
        for page in (("--limit", "2", "--page", "2"), ("--limit", "4", "--page", "99")):
            both("list", *form, *page)
    assert len(both("--json", "--offline", "list").data["models"]) == 6


def test_a_cache_that_was_never_synced(configured: Sandbox, run: Run, both: Run) -> None:
    run("login")
    run("list")  # makes the cache
    assert "never synced" in both("list").err


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
    small_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, both: Run
) -> None:
    paths = plain_home(tmp_path / "me", small_sandbox, monkeypatch)
    monkeypatch.setenv("LORA_TUI_PROFILE", "work")
    with monkeypatch.context() as patch:
        patch.setenv("LORA_TUI_PASSWORD", small_sandbox.password)
        assert run("login").code == 0
        assert run("sync").code == 0
    assert "6 of 6" in both("list").err
    monkeypatch.delenv("LORA_TUI_PROFILE")
    both("list", "--profile", "work")
    both("--profile=work", "--config", str(paths.config_file), "list")
    monkeypatch.setenv("XDG_CACHE_HOME", str(paths.cache_dir.parent))
    both("--profile", "work", "list")


@pytest.mark.parametrize("base", ["", "~/x", "x", "/somewhere"])
def test_directories_are_those_of_platformdirs(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORA_TUI_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, base)
    paths = find_paths()
    found = _directories(os.environ)
    if found is not None:
        assert found == tuple(map(str, (paths.config_file, paths.cache_dir, paths.state_dir)))
    assert (found is None) == (base in ("~/x", "x"))


def cache_of(profile: Profile) -> Path:
    session = load_session(profile)
    assert session is not None
    return profile.cache_path(session.user_id)


def test_what_is_out_of_the_ordinary_is_left_to_the_whole_command(
    configured: Sandbox,
    profile: Profile,
    run: Run,
    answers: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run("sync")
    path = cache_of(profile)
    for words in (
        ("--search", "a"),
        ("--quality", "good"),
        ("--min-stars", "1"),
        ("--downloaded",),
        ("--csv",),
        ("-v",),
        ("--page", "999"),
        ("--config", str(tmp_path / "none.toml")),
        ("--profile", "none"),
    ):
        run("list", *words)
        assert not answers[-1], words
    key_file = tmp_path / "key"
    key_file.write_text(configured.anon_key)
    with monkeypatch.context() as patch:
        patch.delenv("SUPABASE_ANON_KEY")
        patch.setenv("SUPABASE_ANON_KEY_FILE", str(key_file))
        assert run("list").code == 0
        assert not answers[-1]
    for text in ("colour = 'red'", "broken", "url = 3", "anon_key = 'x' # mine"):
        profile.paths.config_file.write_text(f"[profiles.default]\n{text}\n")
        with monkeypatch.context() as patch:
            patch.delenv("SUPABASE_URL")
            run("list")
        assert not answers[-1], text
    profile.paths.config_file.unlink()

    path.chmod(0o644)
    run("list")
    assert not answers[-1]
    assert path.stat().st_mode & 0o777 == 0o600  # the whole command mends it
    run("list")
    assert answers[-1]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("PRAGMA user_version = 99", 1),
        ("UPDATE facts SET value = 'another' WHERE key = 'owner.user'", 1),
        ("DROP TABLE transfers", 1),
        ("DELETE FROM facts WHERE key LIKE 'owner.%'", 0),
    ],
)
def test_a_cache_that_is_not_in_order_is_left_to_the_whole_command(
    configured: Sandbox, profile: Profile, run: Run, answers: list[bool], statement: str, code: int
) -> None:
    run("sync")
    db = sqlite3.connect(cache_of(profile))
    with db:
        db.execute(statement)
    db.close()
    assert run("list").code == code
    assert answers[-1] is False


def test_the_keys_of_a_profile_are_those_of_the_configuration() -> None:
    assert KNOWN == KEYS


def test_nobody_signed_in_any_more(
    configured: Sandbox, run: Run, answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    run("logout", "--keep-cache")
    assert run("list").code == 4
    assert answers == [False]
    assert load_profile().url == configured.url
