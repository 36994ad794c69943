"""A lock that a suspended process holds is waited for a bounded time, and its holder is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_tui.account.sessions import refresh_lock, signed_in
from lora_tui.config.table import Profile
from lora_tui.config.write import set_value
from lora_tui.engine.online import OnlineWriters
from lora_tui.harvest.ledger import Ledger
from lora_tui.sandbox import Sandbox
from tests.conftest import Run

Hold = Callable[[Path], int]
_HOLD = """
import fcntl, os, sqlite3, sys
if sys.argv[1].endswith(".sqlite3"):
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
else:
    fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Has a process lock a file and be suspended; its number."""
    monkeypatch.setattr("lora_tui.locks.file_lock.SUSPENDED_SECONDS", 0.1)
    processes: list[subprocess.Popen[str]] = []

    def call(path: Path) -> int:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _HOLD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        return process.pid

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def test_config_set_names_the_process_that_holds_the_configuration(
    hold: Hold, run: Run, home: Path
) -> None:
    file = home / "config.toml"
    set_value(file, "a", "url", "https://a.example")
    pid = hold(file.parent)
    ran = run("config", "set", "url", "https://b.example", "--json", "--config", str(file))
    assert ran.code == 1
    assert f"process {pid}, which is suspended" in ran.error["details"]
    assert f"kill -CONT {pid}" in ran.error["details"]
    assert "b.example" not in file.read_text()


@pytest.mark.slow
def test_a_session_that_a_suspended_process_renews_is_not_waited_for_without_end(
    hold: Hold, run: Run, configured: Sandbox, profile: Profile
) -> None:
    configured.faults(access_token_seconds=1)
    assert run("login").code == 0
    with refresh_lock(profile):
        pass
    assert signed_in(profile) is not None
    (lock,) = profile.paths.state_dir.glob("sessions/*.lock")
    pid = hold(lock)
    ran = run("sync", "--json")
    assert ran.code == 1
    assert f"process {pid}, which is suspended" in ran.error["details"]


@pytest.mark.slow
def test_sync_names_the_suspended_process_that_syncs_this_cache(
    hold: Hold, run: Run, configured: Sandbox, profile: Profile
) -> None:
    assert run("sync").code == 0
    writers = OnlineWriters(profile)
    lock = writers.cache_path.with_name(f"{writers.cache_path.name}.lock")
    writers.close()
    pid = hold(lock)
    ran = run("sync")
    assert ran.code == 1
    assert f"process {pid}, which is suspended" in ran.err
    assert f"kill -CONT {pid}" in ran.err
    assert json.loads(run("list", "--json").out)["success"] is True


def test_a_cache_that_a_suspended_process_writes_to_names_it(
    hold: Hold, run: Run, configured: Sandbox, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    monkeypatch.setattr("lora_tui.cache.connection.BUSY_SECONDS", 0.1)
    (cache,) = profile.paths.cache_dir.glob("*.sqlite3")
    pid = hold(cache)
    ran = run("sync", "--json")
    assert ran.code == 1
    assert f"process {pid}, which is suspended" in ran.error["details"]
    assert f"kill -CONT {pid}" in ran.error["details"]


def test_a_harvest_whose_state_a_suspended_process_holds_goes_on_and_says_so_once(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lora_tui.harvest.ledger_schema.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("lora_tui.harvest.ledger_file.SHORT_WAIT_MS", 0)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.started("a", "a job", "holder")
        pid = hold(tmp_path / "ledger.sqlite3")
        for name in "abcdefgh":
            ledger.started(name, "a job", "holder")
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 1
        assert f"process {pid}, which is suspended" in told[0]
        assert ledger._db.execute("PRAGMA busy_timeout").fetchone()[0] == 0, "it waited once"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ledger.started("b", "a job", "holder")
        assert {job.job_id for job in ledger.jobs()} >= {"a", "b"}


def test_the_partial_file_of_another_home_names_who_has_it(
    hold: Hold, run: Run, configured: Sandbox, tmp_path: Path
) -> None:
    run("sync")
    model = next(
        m for m in run("list", "--json").data["models"] if "adapter_config.json" in m["artifacts"]
    )
    (tmp_path / "adapter_config.json.part").touch()
    pid = hold(tmp_path / "adapter_config.json.part")
    ran = run("download", model["id"], "adapter_config.json", "--to", str(tmp_path), "--json")
    assert ran.code == 1
    assert f"process {pid}, which is suspended" in ran.error["details"]
