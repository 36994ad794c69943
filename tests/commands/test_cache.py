"""Damage and log-out as a user meets them: one line, the right code, and downloads stay known."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.account.sessions import load_session
from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.config.table import Profile
from lora_tui.errors import DamagedCacheError
from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture
def cache(configured: Sandbox, profile: Profile, run: Run) -> Path:
    """The cache of somebody who has synced."""
    assert run("sync").code == 0
    session = load_session(profile)
    assert session is not None
    return profile.cache_path(session.user_id)


def download_one(run: Run) -> str:
    for model in run("list", "--json").data["models"]:
        if run("download", model["id"]).code == 0:
            return str(model["id"])
    raise AssertionError("no model can be downloaded whole")


def spoil(path: Path) -> None:
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    path.write_bytes(b"\x00garbage" * 4096)


def test_a_sync_replaces_a_damaged_cache_and_finds_the_downloads(cache: Path, run: Run) -> None:
    model = download_one(run)
    spoil(cache)
    ran = run("sync")
    assert ran.code == 0
    assert ran.err.splitlines()[0] == (
        f"The cache was damaged and replaced; the old file is now {cache.name}.damaged-1."
    )
    assert len(run("list", "--json").data["models"]) == 6
    with closing(open_cache(cache)) as db:
        assert downloaded_to(db, model) is not None


def test_a_read_command_meets_garbage_in_the_middle_and_says_what_to_do(
    cache: Path, run: Run
) -> None:
    model = run("list", "--json").data["models"][0]["id"]
    with closing(sqlite3.connect(cache)) as db, db:
        db.execute("UPDATE models SET row = '{' || substr(row, 30)")
    ran = run("show", model)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "damaged-1" in ran.err
    assert "lora-tui sync" in ran.err
    assert run("sync").code == 0
    assert len(run("list", "--json").data["models"]) == 6


def test_garbage_with_json_wanted_is_one_document(cache: Path, run: Run) -> None:
    spoil(cache)
    ran = run("list", "--json")
    assert ran.code == 1
    assert "damaged" in ran.error["error"]
    assert "Run `lora-tui sync`." in ran.error["details"]


def test_a_download_made_here_is_found_by_a_new_cache(cache: Path, run: Run) -> None:
    model = download_one(run)
    cache.unlink()
    run("sync")
    with closing(open_cache(cache)) as db:
        assert downloaded_to(db, model) is not None


def test_a_download_that_is_not_whole_any_more_is_not(cache: Path, run: Run) -> None:
    model = download_one(run)
    with closing(open_cache(cache)) as db:
        directory = downloaded_to(db, model)
    assert directory is not None
    largest = max(directory.iterdir(), key=lambda file: file.stat().st_size)
    largest.write_bytes(b"short")
    cache.unlink()
    run("sync")
    with closing(open_cache(cache)) as db:
        assert downloaded_to(db, model) is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "kept"), [("y\n", False), ("\n", True), ("n\n", True)])
def test_logging_out_on_a_terminal_asks_whether_to_remove_the_cache(
    cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, kept: bool
) -> None:
    said = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", said)
    assert run("logout").code == 0
    assert "Remove the cached models of" in said.getvalue()
    assert cache.exists() is kept


def test_logging_out_in_a_script_does_what_the_flag_says_and_keeps_without_one(
    cache: Path, run: Run
) -> None:
    ran = run("logout")
    assert ran.code == 0
    assert "--clear-cache" in ran.err
    assert cache.exists()
    run("login")
    assert run("logout", "--keep-cache").code == 0
    assert cache.exists()
    run("login")
    assert json.loads(run("logout", "--clear-cache", "--json").out)["data"]["cache_removed"]
    assert not cache.exists()
    assert run("logout", "--clear-cache", "--keep-cache").code == 2


def test_the_application_starts_on_a_new_cache_where_the_old_one_is_damaged(
    cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = download_one(run)
    with closing(sqlite3.connect(cache)) as db, db:
        db.execute("DROP TABLE curves")
    started: list[LoraTuiApp] = []
    monkeypatch.setattr(LoraTuiApp, "run", lambda app: started.append(app))
    monkeypatch.setattr("lora_tui.commands.interactive.require_terminal", lambda: None)
    ran = run()
    assert ran.code == 0
    assert ran.err == (
        f"The cache was damaged and replaced; the old file is now {cache.name}.damaged-1;"
        " 1 download is still known.\n"
    )
    [app] = started
    assert downloaded_to(app.db, model) is not None
    app.db.close()


def test_the_application_is_started_again_when_it_meets_damage_or_another_file(
    cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[LoraTuiApp] = []

    def run_app(app: LoraTuiApp) -> None:
        started.append(app)
        app.db.close()
        if len(started) == 1:
            app.cache_replaced = True
        if len(started) == 2:
            cache.write_bytes(b"garbage")
            app.damage = DamagedCacheError("The cache file is damaged")

    monkeypatch.setattr(LoraTuiApp, "run", run_app)
    monkeypatch.setattr("lora_tui.commands.interactive.require_terminal", lambda: None)
    assert run().code == 0
    assert len(started) == 3
    assert cache.with_name(f"{cache.name}.damaged-1").exists()


def test_no_command_shows_a_cache_of_another_account(
    cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(cache)) as db, db:
        db.execute("UPDATE facts SET value = 'somebody-else' WHERE key = 'owner.user'")
    started: list[LoraTuiApp] = []
    monkeypatch.setattr(LoraTuiApp, "run", lambda app: started.append(app))
    monkeypatch.setattr("lora_tui.commands.interactive.require_terminal", lambda: None)
    for arguments in ((), ("list",), ("sync",), ("download", "x"), ("urls", "x"), ("cache",)):
        ran = run(*arguments)
        assert ran.code == 1, arguments
        assert ran.out == ""
        assert "another account or project" in ran.err
        assert ran.err.count("\n") == 1
    assert started == []
    assert run("cache", "clear").code == 0
    assert run("sync").code == 0
    assert len(run("list", "--json").data["models"]) == 6


def test_a_cache_of_an_earlier_version_asks_for_one_sync(cache: Path, run: Run) -> None:
    model = download_one(run)
    with closing(sqlite3.connect(cache)) as db:
        db.execute("PRAGMA user_version = 5")
    [found] = [
        c for c in run("doctor", "--offline", "--json").data["checks"] if c["check"] == "cache"
    ]
    assert (found["verdict"], found["remedy"]) == ("warning", "run `lora-tui sync` once")
    assert "earlier version" in found["evidence"]
    sentence = "The cache was written by an earlier version and has been rebuilt"
    for words in (
        ("list",),
        ("list", "--json"),
        ("list", "--csv"),
        ("cache",),
        ("cache", "--json"),
    ):
        ran = run(*words)
        assert ran.code == 0
        assert ran.err.count(sentence) == 1, words
        assert "downloads are kept" in ran.err
        assert "`lora-tui sync`" in ran.err
        assert "never synced" not in ran.err
    assert "rebuilt" in run("show", model).err
    [found] = [
        c for c in run("doctor", "--offline", "--json").data["checks"] if c["check"] == "cache"
    ]
    assert (found["verdict"], found["remedy"]) == ("warning", "run `lora-tui sync` once")
    assert run("sync").code == 0
    ran = run("list")
    assert sentence not in ran.err
    assert "6 of 6 models" in ran.err
    with closing(open_cache(cache)) as db:
        assert downloaded_to(db, model) is not None
