"""The harvest that an engine runs: started once, and its state is true at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.engine import harvest
from lora_tui.engine.harvest import BackgroundHarvest
from lora_tui.errors import AuthenticationError


class FakeHarvester:
    """In place of the connections; counts how many are open."""

    opened: list[FakeHarvester] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, _profile: Profile) -> None:
        self.opened.append(self)

    def close(self) -> None:
        self.opened.remove(self)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setattr(harvest, "connect", FakeHarvester)
    monkeypatch.setattr(FakeHarvester, "opened", [])
    paths = Paths(tmp_path / "config.toml", tmp_path / "cache", tmp_path / "state", tmp_path)
    return Profile("test", paths, "http://127.0.0.1:9", "anon")


def run_until_stopped(_harvester: object, *, stop: threading.Event, **_: object) -> None:
    stop.wait()


def in_threads(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_requests_at_once_start_one_harvest_and_it_can_be_stopped(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvest, "run_forever", run_until_stopped)
    told: list[Any] = []
    ended = threading.Event()
    both = threading.Barrier(2)

    def tell(_name: str, data: Any) -> None:
        told.append(data)
        if not data["running"]:
            ended.set()

    def start() -> None:
        both.wait()
        background.start()

    background = BackgroundHarvest(profile, tell)
    start_thread = threading.Thread.start

    def late(thread: threading.Thread) -> None:
        """The other request has every chance before the first one's thread runs."""
        if thread.name == "harvest":
            threading.Event().wait(0.01)
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", late)
    in_threads(start, start)
    assert len(FakeHarvester.opened) == 1
    background.stop()
    ended.wait()
    assert FakeHarvester.opened == []
    assert [(one["running"], one["stopping"]) for one in told] == [
        (True, False),
        (True, True),
        (False, False),
    ]


def test_one_that_ends_by_itself_while_it_is_stopped_does_not_stay_on_the_screen(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = threading.Event()

    def fail(*_: object, **__: object) -> None:
        fails.wait()
        raise AuthenticationError("The key was refused")

    monkeypatch.setattr(harvest, "run_forever", fail)
    told: list[Any] = []
    ended = threading.Event()

    def tell(_name: str, data: Any) -> None:
        if data["stopping"]:
            fails.set()
            ended.wait(0.1)  # an event of the end can't come before this one
        told.append(data)
        if not data["running"]:
            ended.set()

    background = BackgroundHarvest(profile, tell)
    background.start()
    background.stop()
    ended.wait()
    assert told[-1]["running"] is False
    assert told[-1]["error"]["message"] == "The key was refused"
