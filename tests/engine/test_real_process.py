"""The engine's process ends with the application, also where it hangs; it leaves its log."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.engine import process
from lora_tui.engine.process import Channel, start_process
from lora_tui.engine.protocol import Hello, Ready, encode, read_message
from tests.engine.in_process import HELLO

pytestmark = pytest.mark.slow


@pytest.fixture
def log(home: Path) -> Path:
    return home / "state" / "engine.log"


@pytest.fixture
def channel(log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setattr(process, "TERM_SECONDS", 0.1)
    channel = start_process(log)
    yield channel
    channel.end(0.0)
    for stream in (channel.requests, channel.answers):
        stream.close()


def begin(channel: Channel, hello: Hello = HELLO) -> int:
    """The process id of the engine, which has answered."""
    channel.requests.write(encode(hello))
    channel.requests.flush()
    ready = read_message(channel.answers)
    assert isinstance(ready, Ready)
    return ready.pid


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_by_itself_when_the_application_is_gone(channel: Channel, log: Path) -> None:
    pid = begin(channel)
    assert os.getsid(pid) == pid
    channel.requests.close()
    assert read_message(channel.answers) is None
    channel.end(20.0)
    assert not is_alive(pid)
    assert log.read_text() == ""
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_one_that_hangs_is_ended_when_the_application_ends(channel: Channel) -> None:
    pid = begin(channel)
    os.kill(pid, signal.SIGSTOP)  # SIGTERM reaches it no more
    channel.requests.close()
    channel.end(0.1)
    assert not is_alive(pid)


def test_nonsense_ends_it_and_is_in_its_log(channel: Channel, log: Path) -> None:
    channel.requests.write(b"a password perhaps\n")
    channel.requests.flush()
    assert read_message(channel.answers) is None
    channel.end(20.0)
    assert "EngineEndedError" in log.read_text()
    assert "password" not in log.read_text()


def test_names_of_files_are_utf_8_in_a_locale_without_it(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    file = tmp_path / "modèle.toml"
    file.write_text('[profiles.default]\nurl = "http://127.0.0.1:9"\nanon_key = "anon"\n')
    channel = start_process(log)
    begin(channel, Hello(None, file, offline=True, owner=None))
    channel.requests.close()
    channel.end(20.0)
    assert log.read_text() == ""
