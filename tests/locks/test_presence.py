"""Whether a process is alive is told rightly across containers, hosts and reused numbers."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui import clock, processes
from lora_tui.cache.cache_file import sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import SyncState, get_sync_state, put_sync_state
from lora_tui.harvest.ledger import Ledger
from lora_tui.harvest.ledger_schema import State
from lora_tui.locks.presence import Presence, is_present
from lora_tui.processes import is_process_alive, new_identity, read_machine

HARVESTS = """
import sys
from pathlib import Path
from lora_tui import processes
processes.read_machine = lambda: sys.argv[2]
from lora_tui.harvest.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.queue([{"id": "a"}])
ledger.started("a", "Model", processes.new_identity())
print("started", flush=True)
sys.stdin.read()
"""
"""A harvester of another container or machine, as far as it can tell itself."""
ANOTHER_CONTAINER = f"{read_machine().partition('-')[0]}-4026539999-"
ANOTHER_MACHINE = "0123456789ab-4026531836-feedfeedfeed"


@pytest.fixture(params=[ANOTHER_CONTAINER, ANOTHER_MACHINE], ids=["container", "machine"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A harvester elsewhere that works on the job "a" of this state directory.

    It has the host name of this one.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HARVESTS, str(tmp_path / "ledger.sqlite3"), request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    process.kill()
    process.communicate()


def make_old(path: Path) -> None:
    """As if its process had shown no sign of life for four minutes."""
    before = path.stat().st_mtime - 240
    os.utime(path, (before, before))


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


def test_a_process_number_of_another_container_proves_nothing() -> None:
    host, number, unique, started, machine = parts(new_identity())
    boot = machine.partition("-")[0]
    for other in (
        f"other-host/{number}/{unique}.{started}.{boot}-1",
        f"{host}/{number}/{unique}.{started}.{boot}-1",
        f"other-host/{2**22 + 1}/{unique}.{started}.{boot}-1",
    ):
        assert is_process_alive(other) is None


def test_a_process_from_before_a_restart_of_this_machine_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "read_machine", lambda: "bbbbbbbbbbbb-4026531836-cccccccccccc")
    host, _, unique, started, _ = parts(new_identity())
    before = f"{host}/{os.getppid()}/{unique}.{started}.aaaaaaaaaaaa-4026531836-cccccccccccc"
    assert is_process_alive(before) is False


@pytest.mark.parametrize(
    "machine",
    [
        "aaaaaaaaaaaa-4026531836-dddddddddddd",
        "aaaaaaaaaaaa-4026531836-",
        "aaaaaaaaaaaa-4026531836",
        "",
    ],
    ids=["another installation", "of unknown installation", "of an earlier version", "macOS"],
)
def test_a_machine_with_the_same_host_name_is_another_machine(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(processes, "read_machine", lambda: "bbbbbbbbbbbb-4026531836-cccccccccccc")
    host, number, unique, started, _ = parts(new_identity())
    assert is_process_alive(f"{host}/{number}/{unique}.{started}.{machine}") is None


def test_a_process_that_ended_and_was_not_waited_for_is_dead() -> None:
    code = "from lora_tui.processes import new_identity; print(new_identity())"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    identity = process.stdout.read().strip()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_process_alive(identity) is False
    process.communicate()


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
    (presence,) = (tmp_path / "ledger.sqlite3.owners").iterdir()
    if ANOTHER_MACHINE in presence.name:
        with Ledger(tmp_path / "ledger.sqlite3") as ledger:
            assert ledger.jobs()[0].state is State.RUNNING, "its last heartbeat is new"
        make_old(presence)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.queue([{"id": "a"}], new_identity())
        assert ledger.jobs()[0].state is State.WAITING
        assert ledger.jobs()[0].attempts == 1


@pytest.mark.usefixtures("locks")
def test_a_sync_of_another_machine_is_shown_as_long_as_it_holds_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as db:
        with sync_lock(tmp_path / "cache.sqlite3"):
            with transaction(db, Topic.SYNC):
                state = SyncState(None, clock.now(), running=True, error=None)
                put_sync_state(db, state, process=new_identity())
            monkeypatch.setattr(processes, "read_machine", lambda: ANOTHER_MACHINE)
            assert get_sync_state(db).running
            monkeypatch.undo()
        monkeypatch.setattr(processes, "read_machine", lambda: ANOTHER_MACHINE)
        assert not get_sync_state(db).running, "it was killed before it noted its end"


def test_a_presence_ends_with_its_process(tmp_path: Path) -> None:
    presence = Presence(tmp_path, "a/1/x")
    assert is_present(tmp_path, "a/1/x")
    assert not is_present(tmp_path, "a/2/x")
    presence.close()
    assert not is_present(tmp_path, "a/1/x")
    assert list(tmp_path.iterdir()) == []


def test_a_container_with_the_same_host_name_is_not_taken_for_dead_by_a_read(
    elsewhere: subprocess.Popen[str], tmp_path: Path
) -> None:
    owners = tmp_path / "ledger.sqlite3.owners"
    before = sorted(owners.iterdir())
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger.jobs()[0].state is State.RUNNING
    assert sorted(owners.iterdir()) == before


@pytest.fixture(params=[False, True], ids=["locks", "no locks"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system has locks; one without refuses each."""
    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse_locks)
    return not request.param


def refuse_locks(*_arguments: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.usefixtures("locks")
def test_the_presence_of_another_machine_goes_by_its_heartbeat_and_a_read_leaves_its_file(
    tmp_path: Path,
) -> None:
    host, _, unique, started, _ = parts(new_identity())
    path = tmp_path / "b"
    path.write_text(f"{host}/1/{unique}.{started}.{ANOTHER_MACHINE}\n")
    assert is_present(tmp_path, "b")
    make_old(path)
    assert not is_present(tmp_path, "b")
    assert list(tmp_path.iterdir()) == [path], "nobody can prove that it is dead"


@pytest.mark.usefixtures("locks")
@pytest.mark.parametrize("text", ["", "\n", "nonsense", "\0\0\0\0"])
def test_a_damaged_presence_goes_by_its_heartbeat(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b"
    path.write_text(text)
    assert is_present(tmp_path, "b")
    make_old(path)
    assert not is_present(tmp_path, "b")


@pytest.mark.usefixtures("locks")
def test_the_presence_of_a_process_of_this_machine_that_died_is_removed(tmp_path: Path) -> None:
    code = "from lora_tui.processes import new_identity; print(new_identity())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (tmp_path / "b").write_text(told.stdout)
    assert not is_present(tmp_path, "b")
    assert list(tmp_path.iterdir()) == []


def test_a_presence_works_without_locks_and_leaves_nothing(
    locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence = Presence(tmp_path, "a")
    assert is_present(tmp_path, "a")
    monkeypatch.setattr(processes, "read_machine", lambda: ANOTHER_MACHINE)
    assert is_present(tmp_path, "a"), "as another machine sees it"
    presence.close()
    assert not is_present(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_too_many_open_files_do_not_make_another_process_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Presence(tmp_path, "a")), monkeypatch.context() as patch:

        def refuse(*_arguments: object) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patch.setattr(os, "open", refuse)
        assert is_present(tmp_path, "a")


def test_a_new_presence_removes_the_files_that_are_older_than_a_day(tmp_path: Path) -> None:
    for name, hours in (("young", 1), ("old", 25)):
        path = tmp_path / name
        path.write_text(f"another-host/1/abc.5.{ANOTHER_MACHINE}")
        before = path.stat().st_mtime - hours * 3600
        os.utime(path, (before, before))
    with closing(Presence(tmp_path, "a")):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "young"]
