"""On a file system without file locks the commands work, and `doctor` says what is missing."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui import clock, formats
from lora_tui.cache.metadata import SyncState, put_sync_state
from lora_tui.locks.file_lock import locked_file
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.harvest.world import World
from tests.push.adapter import write_adapter

NO_LOCK_ERRNOS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(params=NO_LOCK_ERRNOS, ids=errno.errorcode.__getitem__)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every flock fails as on NFS without a lock daemon, Lustre, CIFS or FUSE."""
    number = int(request.param)

    def refuse(*_arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return number


def left_over(directory: Path) -> list[str]:
    """The lock files that are still there."""
    return [path.name for path in directory.rglob("*.held")]


@pytest.mark.usefixtures("without_locks")
def test_a_sync_works_and_leaves_no_lock_file(configured: Sandbox, run: Run, home: Path) -> None:
    assert run("sync").code == 0
    assert run("list").code == 0
    assert left_over(home) == []


@pytest.mark.usefixtures("without_locks")
def test_after_a_sync_was_killed_on_another_machine_the_next_one_says_so_at_once_and_goes_on(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    (cache,) = home.rglob("*.sqlite3")
    held = cache.with_name(f"{cache.name}.lock.held")
    elsewhere = "container-b/41/abc.5.0123456789ab-4026539999-"
    held.write_text(elsewhere)
    began = clock.now()
    with closing(sqlite3.connect(cache)) as db, db:
        put_sync_state(db, SyncState(None, began, running=True, error=None), process=elsewhere)
    monkeypatch.setattr("lora_tui.locks.presence.DEAD_SECONDS", 0.5)
    ran = run("sync")
    assert ran.code == 0
    assert f"since {formats.date_time(began)}; waiting for it" in ran.err
    assert f"{held} is held by process 41 on container-b" in ran.err
    assert "if it is gone, its lock ends within 3 minutes" in ran.err
    assert ran.err.count("41 on container-b") == 2, "once who, and once what to do"
    assert left_over(home) == []


@pytest.mark.usefixtures("without_locks")
def test_login_and_logout_work(configured: Sandbox, run: Run, home: Path) -> None:
    configured.faults(access_token_seconds=1)
    assert run("login").code == 0
    assert run("sync").code == 0, "the session was renewed"
    assert run("logout").code == 0
    assert left_over(home) == []


@pytest.mark.usefixtures("without_locks")
def test_a_setting_is_written(run: Run, home: Path) -> None:
    assert run("config", "set", "url", "https://a.example").code == 0
    assert run("config", "set", "url", "https://b.example").code == 0
    assert "b.example" in (home / "config.toml").read_text()
    assert left_over(home) == []


@pytest.mark.usefixtures("without_locks")
def test_a_download_comes_and_leaves_no_lock_file(
    configured: Sandbox, run: Run, home: Path, tmp_path: Path
) -> None:
    run("sync")
    model = next(
        m for m in run("list", "--json").data["models"] if "adapter_config.json" in m["artifacts"]
    )
    target = tmp_path / "files"
    for _ in range(2):
        ran = run("download", model["id"], "adapter_config.json", "--to", str(target), "--force")
        assert ran.code == 0, ran.err
    assert (target / "adapter_config.json").is_file()
    assert left_over(tmp_path) == []


@pytest.mark.usefixtures("without_locks")
def test_an_adapter_is_pushed(configured: Sandbox, run: Run, tmp_path: Path) -> None:
    run("sync")
    dataset = next(m["dataset_id"] for m in run("list", "--json").data["models"])
    ran = run("push", str(write_adapter(tmp_path / "out")), "--dataset", str(dataset))
    assert ran.code == 0, ran.err
    assert left_over(tmp_path) == []


@pytest.mark.usefixtures("without_locks")
def test_a_job_is_harvested(tmp_path: Path) -> None:
    with World(tmp_path / "world", waiting_jobs=1) as world:
        assert world.run()[0].harvested == 1
    assert left_over(tmp_path) == []


@pytest.mark.usefixtures("without_locks")
def test_doctor_says_it_beforehand(configured: Sandbox, run: Run, home: Path) -> None:
    home.mkdir()
    ran = run("doctor", "--json")
    [finding] = [f for f in ran.data["checks"] if f["check"] == "file locks"]
    assert finding["verdict"] == "warning"
    assert str(home) in finding["evidence"]
    assert "LORA_TUI_HOME" in finding["remedy"]


def test_doctor_says_nothing_of_locks_that_work(configured: Sandbox, run: Run) -> None:
    assert "file locks" not in run("doctor").out


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR_SHMLOCK]
)
def test_a_database_that_can_not_be_locked_is_told_in_one_line(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr("lora_tui.cache.connection.use_wal", refuse)
    ran = run("sync", "--json")
    assert ran.code == 1
    assert "has no file locks" in ran.error["error"]
    assert "LORA_TUI_HOME" in ran.error["details"]


def test_another_error_of_a_lock_is_not_taken_for_a_missing_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), locked_file(tmp_path / "lock"):
        pass
