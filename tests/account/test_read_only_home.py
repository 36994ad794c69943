"""A home that can't be written to: what was cached is shown, and sessions are not stored."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.account import sessions
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import Owner, claim, find_owner, note_email
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.account.test_login import end_elsewhere, sign_ins
from tests.conftest import Ran, Run

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2

Call = Callable[..., Ran]


def obey_permissions() -> None:
    """Take from root, in a child process, the right to ignore the permissions of files."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None)
        for right in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            assert library.prctl(_PR_CAPBSET_DROP, right, 0, 0, 0) == 0


def call(*words: str) -> Ran:
    """Run `lora-tui` in a process that permissions hold for."""
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui", *words],
        preexec_fn=obey_permissions,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def synced(configured: Sandbox, run: Run, home: Path) -> Sandbox:
    assert run("sync").code == 0
    return configured


@pytest.fixture
def lock_home(home: Path) -> Iterator[Callable[[], None]]:
    """Takes the permission to write from everything in the home."""
    modes: dict[Path, int] = {}

    def lock() -> None:
        for path in [home, *home.rglob("*")]:
            modes[path] = path.stat().st_mode
            path.chmod(modes[path] & 0o555)

    yield lock
    for path, mode in modes.items():
        if path.exists():
            path.chmod(mode)


def forget_session(home: Path) -> None:
    for file in (home / "state" / "sessions").iterdir():
        file.unlink()


def files_in(home: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in home.rglob("*") if f.is_file()}


@pytest.mark.parametrize("session", ["stored", "missing"])
def test_the_cache_is_read_and_nothing_is_written(
    synced: Sandbox, run: Run, home: Path, lock_home: Callable[[], None], session: str
) -> None:
    if session == "missing":
        forget_session(home)
    lock_home()
    before = files_in(home)
    ran = call("list", "--json")
    assert (ran.code, ran.err) == (0, "")
    models = ran.data["models"]
    model = models[0]["id"]
    for words in (
        ("show", model),
        ("compare", model, models[1]["id"], "--json"),
        ("report", model),
        ("library", "--json"),
        ("cache", "info"),
        ("--offline", "whoami"),
        ("__complete", "bash", "lora-tui", "show", ""),
    ):
        ran = call(*words)
        assert (ran.code, ran.err) == (0, ""), words
        assert ran.out, words
    checks = {c["check"]: c for c in call("doctor", "--json").data["checks"]}
    assert checks["cache"]["verdict"] == "ok"
    assert files_in(home) == before


@pytest.mark.parametrize("command", ["whoami", "urls", "inspect"])
def test_a_session_that_can_t_be_stored_is_a_warning_where_the_command_works(
    synced: Sandbox, run: Run, home: Path, lock_home: Callable[[], None], command: str
) -> None:
    model = run("list", "--json").data["models"][0]["id"]
    words = [command, *([] if command == "whoami" else [model])]
    expected = run(*words)
    forget_session(home)
    lock_home()
    ran = call(*words)
    assert ran.code == expected.code == 0
    assert ran.out
    assert ran.err.count("\n") == expected.err.count("\n") + 1
    assert "The session can't be stored: permission denied" in ran.err
    assert "LORA_TUI_HOME" not in ran.out


def test_login_and_sync_say_in_one_line_what_they_can_t_write(
    synced: Sandbox, lock_home: Callable[[], None]
) -> None:
    lock_home()
    for words, sentence in (
        (("login",), "The session can't be stored: permission denied"),
        (("sync",), "The cache can't be opened: permission denied"),
    ):
        ran = call(*words)
        assert ran.code == 1
        assert ran.err.startswith(f"lora-tui: {sentence}")
        assert "LORA_TUI_HOME" in ran.err
        assert ran.err.count("\n") == 1


def test_a_download_names_the_home_where_that_refuses_and_not_the_directory_of_to(
    synced: Sandbox, run: Run, tmp_path: Path, lock_home: Callable[[], None]
) -> None:
    model = run("list", "--json").data["models"][0]["id"]
    lock_home()
    ran = call("download", model, "--to", str(tmp_path / "out"))
    assert ran.code == 1
    assert "LORA_TUI_HOME" in ran.err
    assert "--to" not in ran.err


def test_a_stored_session_that_has_to_be_renewed_is_not_used_up(
    synced: Sandbox,
    run: Run,
    home: Path,
    profile: Profile,
    lock_home: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = run("list", "--json").data["models"][0]["id"]
    end_elsewhere(profile, synced)
    before = sessions.load_session(profile)
    lock_home()
    synced.forget_requests()
    ran = call("urls", model)
    assert (ran.code, ran.err.count("\n")) == (0, 1)
    assert "The session can't be stored" in ran.err
    assert sign_ins(synced) == 1
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    ran = call("urls", model)
    assert ran.code == 1
    assert ran.err.startswith("lora-tui: The session can't be renewed: permission denied")
    assert sessions.load_session(profile) == before


@pytest.mark.parametrize("place", ["directory", "file"])
def test_a_cache_that_can_t_be_read_is_not_said_to_be_missing(
    synced: Sandbox, home: Path, place: str
) -> None:
    forget_session(home)
    path = home / "cache" if place == "directory" else next(home.rglob("*.sqlite3"))
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        for words in (("list",), ("show", "a")):
            ran = call(*words)
            assert ran.code == 1, ran
            assert "cache can't be" in ran.err or "directory of the cache can't be" in ran.err
            assert "permission denied" in ran.err
            assert str(path) in ran.err
            assert ran.err.count("\n") == 1
    finally:
        path.chmod(mode)


def write_ahead(path: Path, target: Path) -> None:
    """Copy a cache with a log that is not in the main file yet."""
    with closing(open_cache(path)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        with transaction(db):
            note_email(db, "new@name.example")
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            target.with_name(target.name + suffix).write_bytes(source.read_bytes())


def test_a_log_that_was_left_is_read_or_is_one_clear_line(
    synced: Sandbox, home: Path, profile: Profile, lock_home: Callable[[], None], tmp_path: Path
) -> None:
    path = next(home.rglob("*.sqlite3"))
    write_ahead(path, tmp_path / "copy.sqlite3")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(
            (tmp_path / f"copy.sqlite3{suffix}").read_bytes()
        )
    lock_home()
    assert call("list", "--json").code == 0
    path.parent.chmod(0o755)
    path.with_name(f"{path.name}-shm").unlink()
    path.parent.chmod(0o555)
    ran = call("list")
    assert ran.code == 1
    assert "permission denied" in ran.err
    assert ran.err.count("\n") == 1


def caches_of_two(directory: Path) -> list[Path]:
    paths = []
    for name in ("alice", "bob"):
        path = directory / f"{name}.sqlite3"
        with closing(open_cache(path)) as db, transaction(db):
            claim(db, Owner(name, "https://one.example"))
            note_email(db, f"{name}@one.example")
        paths.append(path)
    return paths


def test_looking_for_the_owner_leaves_no_file_beside_a_cache(tmp_path: Path) -> None:
    paths = caches_of_two(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert find_owner(paths, "bob@one.example", "https://one.example") == "bob"
    assert find_owner(paths, "carol@one.example", "https://one.example") is None
    assert sorted(tmp_path.iterdir()) == before == paths


def test_looking_for_the_owner_reads_a_cache_that_is_being_written_and_leaves_it_alone(
    tmp_path: Path,
) -> None:
    paths = caches_of_two(tmp_path)
    with closing(open_cache(paths[1])) as db, transaction(db):
        note_email(db, "bob@two.example")
        assert find_owner(paths, "bob@one.example", "https://one.example") == "bob"
        files = sorted(file.name for file in tmp_path.iterdir())
        assert files == ["alice.sqlite3", "bob.sqlite3", "bob.sqlite3-shm", "bob.sqlite3-wal"]
    assert find_owner(paths, "bob@two.example", "https://one.example") == "bob"
    assert sorted(tmp_path.iterdir()) == paths


def test_looking_for_the_owner_passes_over_what_is_no_cache(tmp_path: Path) -> None:
    pipe, garbage, missing = (tmp_path / f"{n}.sqlite3" for n in ("pipe", "garbage", "missing"))
    os.mkfifo(pipe)
    garbage.write_text(json.dumps({"no": "database"}) * 100)
    paths = [pipe, garbage, *caches_of_two(tmp_path)]
    assert find_owner(paths, "bob@one.example", "https://one.example") == "bob"
    assert find_owner([pipe, garbage], "bob@one.example", "https://one.example") is None
    assert not missing.exists()
