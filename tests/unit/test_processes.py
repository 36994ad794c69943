"""Whether a process is alive is told rightly across containers, hosts and reused numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import SyncState, get_sync_state, put_sync_state
from lora_tui.files import Presence, is_present
from lora_tui.harvest.ledger import Ledger
from lora_tui.harvest.ledger_schema import State
from lora_tui.processes import is_process_alive, new_identity

HARVESTS = """
import sys
from pathlib import Path
from lora_tui import processes
processes.host_name = lambda: "container-b"
processes.read_machine = lambda: "0123456789ab-4026539999"
from lora_tui.harvest.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.queue([{"id": "a"}])
ledger.started("a", "Model", processes.new_identity())
print("started", flush=True)
sys.stdin.read()
"""
"""A harvester of another container, as far as it can tell itself."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A harvester of another container that works on the job "a" of this state directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HARVESTS, str(tmp_path / "ledger.sqlite3")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    process.kill()
    process.communicate()


def parts(identity: str) -> tuple[str, str, str, str, str]:
    """Host, number, random part, start and machine."""
    host, number, rest = identity.split("/")
    unique, started, machine = rest.split(".")
    return host, number, unique, started, machine


def test_this_process_is_alive() -> None:
    assert is_process_alive(new_identity()) is True


def test_a_process_that_ended_is_not() -> None:
    code = "from lora_tui.processes import new_identity; print(new_identity())"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    assert is_process_alive(told) is False


def test_another_process_that_got_its_number_is_not_taken_for_it() -> None:
    host, _, unique, _, machine = parts(new_identity())
    assert is_process_alive(f"{host}/{os.getppid()}/{unique}.1.{machine}") is False


def test_the_same_number_in_another_container_tells_nothing() -> None:
    host, number, unique, started, machine = parts(new_identity())
    boot = machine.partition("-")[0]
    for other in (
        f"other-host/{number}/{unique}.{started}.{boot}-1",
        f"{host}/{number}/{unique}.{started}.{boot}-1",
        f"other-host/{2**22 + 1}/{unique}.{started}.{boot}-1",
    ):
        assert is_process_alive(other) is None


def test_a_process_from_before_a_restart_of_this_machine_is_dead() -> None:
    host, _, unique, started, machine = parts(new_identity())
    namespace = machine.partition("-")[2]
    before = f"{host}/{os.getppid()}/{unique}.{started}.aaaaaaaaaaaa-{namespace}"
    assert is_process_alive(before) is False


def test_names_of_earlier_versions_and_nonsense_are_understood() -> None:
    host = parts(new_identity())[0]
    assert is_process_alive(f"{host}/{os.getppid()}/abcdef01") is True
    assert is_process_alive(str(os.getppid())) is True
    assert is_process_alive(f"{host}/{os.getpid()}/abcdef01") is False, "a number given again"
    for nonsense in ("", "x", "host/not a number/x", "a/b/c/d", "\0/1/\0"):
        assert not is_process_alive(nonsense)


def test_the_harvester_of_another_container_is_not_taken_for_dead(
    elsewhere: subprocess.Popen[str], tmp_path: Path
) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger.jobs()[0].state is State.RUNNING
        ledger.queue([{"id": "a"}], new_identity())
        assert ledger.jobs()[0].state is State.RUNNING
        assert ledger.jobs()[0].attempts == 0, "nobody died"


def test_the_harvester_of_another_container_that_was_killed_is_known_to_be_dead(
    elsewhere: subprocess.Popen[str], tmp_path: Path
) -> None:
    elsewhere.kill()
    elsewhere.wait()
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.queue([{"id": "a"}], new_identity())
        assert ledger.jobs()[0].state is State.WAITING
        assert ledger.jobs()[0].attempts == 1


def test_a_sync_of_another_container_is_shown_for_an_hour(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as db:
        for minutes, running in ((1, True), (61, False)):
            began = clock.now() - timedelta(minutes=minutes)
            with transaction(db, Topic.SYNC):
                state = SyncState(None, began, running=True, error=None)
                put_sync_state(db, state, process="container-b/1/abc.5.0123456789ab-4026539999")
            assert get_sync_state(db).running is running


def test_a_presence_ends_with_its_process(tmp_path: Path) -> None:
    presence = Presence(tmp_path, "a/1/x")
    assert is_present(tmp_path, "a/1/x")
    assert not is_present(tmp_path, "a/2/x")
    presence.close()
    assert not is_present(tmp_path, "a/1/x")
    assert list(tmp_path.iterdir()) == []
