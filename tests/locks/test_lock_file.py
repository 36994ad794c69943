"""A lock file is kept as long as its process gives a heartbeat, and never taken from a live one."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui import processes
from lora_tui.errors import InUseError
from lora_tui.files import NO_LOCK_ERRNOS
from lora_tui.locks import presence
from lora_tui.locks.file_lock import locked_directory, locked_file
from lora_tui.locks.presence import Presence, is_fresh, seconds_since_written
from lora_tui.processes import LockHolder, new_identity
from tests.waiting import until

ELSEWHERE = "another-host/1/abc.5.0123456789ab-4026539999-"


@pytest.fixture(params=NO_LOCK_ERRNOS, ids=errno.errorcode.__getitem__, autouse=True)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flock fails as on NFS without a lock daemon, Lustre, CIFS or FUSE."""

    def refuse(*_arguments: Any) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def make_old(path: Path, seconds: float = 240) -> None:
    """As if its process had shown no sign of life for so long."""
    before = path.stat().st_mtime - seconds
    os.utime(path, (before, before))


def test_two_never_hold_a_lock_and_the_second_names_the_first(tmp_path: Path) -> None:
    with locked_file(tmp_path / "lock") as first:
        assert first is None
        with locked_file(tmp_path / "lock") as second:
            assert second is not None
            assert second.pid == os.getpid()
        with locked_file(tmp_path / "lock") as third:
            assert third is not None, "who did not get the lock does not release it"
    with locked_file(tmp_path / "lock") as afterwards:
        assert afterwards is None
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path, end: str) -> None:
    host, _pid, rest = new_identity().split("/")
    (tmp_path / "lock.held").write_text(f"{host}/{2**22 + 1}/{rest}{end}")
    with locked_file(tmp_path / "lock") as holder:
        assert holder is None


@pytest.mark.parametrize("text", [ELSEWHERE, f"{ELSEWHERE}\n", "", "\n", "nonsense", "\0\0\0"])
def test_a_lock_of_another_machine_or_a_damaged_one_ends_with_its_heartbeat(
    tmp_path: Path, text: str
) -> None:
    held = tmp_path / "lock.held"
    held.write_text(text)
    with locked_file(tmp_path / "lock") as holder:
        assert holder is not None
        assert holder.lock_file == held
        assert str(held) in holder.remedy
        assert "3 minutes" in holder.remedy
    assert held.read_text() == text
    make_old(held)
    with locked_file(tmp_path / "lock") as holder:
        assert holder is None


def test_a_live_process_with_a_new_line_in_its_lock_file_is_of_this_machine(tmp_path: Path) -> None:
    held = tmp_path / "lock.held"
    held.write_text(f"{new_identity()}\n")
    make_old(held, 2 * 86_400)
    with locked_file(tmp_path / "lock") as holder:
        assert holder == LockHolder(os.getpid(), lock_file=held)


def test_a_directory_names_the_lock_file_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.locks.file_lock.DIRECTORY_SECONDS", 0.0)
    held = tmp_path / ".lora-tui.held"
    held.write_text(ELSEWHERE)
    with pytest.raises(InUseError) as caught, locked_directory(tmp_path):
        pass
    assert "another-host" in str(caught.value.details)
    assert str(held) in str(caught.value.remedy)


def test_a_waiting_process_continues_when_the_heartbeat_has_ended(tmp_path: Path) -> None:
    held = tmp_path / "lock.held"
    held.write_text(ELSEWHERE)
    told: list[LockHolder] = []

    def on_wait(holder: LockHolder) -> None:
        told.append(holder)
        make_old(held)

    with locked_file(tmp_path / "lock", patience=60, on_wait=on_wait) as holder:
        assert holder is None
    assert [(who.pid, who.host, who.lock_file) for who in told] == [(1, "another-host", held)]


def test_a_lock_that_was_taken_over_is_not_removed_by_who_lost_it(tmp_path: Path) -> None:
    held = tmp_path / "lock.held"
    with locked_file(tmp_path / "lock"):
        held.unlink()
        held.write_text(ELSEWHERE)
    assert held.read_text() == ELSEWHERE


def test_the_heartbeat_keeps_the_file_new_and_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "HEARTBEAT_SECONDS", 0.01)
    with locked_file(tmp_path / "lock"), closing(Presence(tmp_path, "presence")):
        for path in (tmp_path / "lock.held", tmp_path / "presence"):
            text = path.read_text()
            make_old(path)
            until(lambda path=path: is_fresh(path))  # type: ignore[misc]
            assert path.read_text() == text
        monkeypatch.setattr(processes, "read_machine", lambda: "0123456789ab-4026539999-")
        with locked_file(tmp_path / "lock") as holder:
            assert holder is not None, "as another machine sees it"


def test_the_heartbeat_never_writes_to_the_file_of_who_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "HEARTBEAT_SECONDS", 0.01)
    held = tmp_path / "lock.held"
    with locked_file(tmp_path / "lock"), closing(Presence(tmp_path, "presence")):
        held.unlink()
        held.write_text(ELSEWHERE)
        make_old(held)
        make_old(tmp_path / "presence")
        until(lambda: is_fresh(tmp_path / "presence"))
        assert not is_fresh(held)


def test_the_age_of_a_file_is_by_the_clock_of_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    path = tmp_path / "file"
    path.touch()
    assert seconds_since_written(path) == pytest.approx(0, abs=60)
    make_old(path)
    assert seconds_since_written(path) == pytest.approx(240, abs=60)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_where_the_age_can_not_be_told_a_process_counts_as_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    make_old(path)
    assert not is_fresh(path)

    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(presence, "new_temporary_file", refuse)
    assert is_fresh(path)
    assert not is_fresh(tmp_path / "missing")
