"""Trials in the engine: events while answers come, cancelled at once, votes that are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache.metadata import Owner
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.domain.answers import Answer, Contestant, Progress, Settings
from lora_tui.engine import trying
from lora_tui.engine.requests import Requests
from lora_tui.engine.trying import Trials
from lora_tui.errors import LoraTuiError, NotFoundError, UnreachableError
from lora_tui.serving import connect
from lora_tui.serving.client import Message, Piece
from tests.engine.in_process import in_process_writers

BASE = Contestant("base", "base model", None)
ADAPTER = Contestant("id", "Support", "support-v1")
HI = [("user", "Hi")]


class Talker:
    """A server whose answers wait until the test lets them go on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, list[Message]]] = []
        self.begun, self.goes_on, self.closed = (threading.Event() for _ in range(3))
        self.error: LoraTuiError | None = None
        self.open = self.most_open = 0

    def __enter__(self) -> Talker:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        return self

    def __exit__(self, *_: object) -> None:
        self.open -= 1

    def close(self) -> None:
        self.closed.set()
        self.goes_on.set()

    def answer(self, messages: Sequence[Message], adapter: str | None, **_: Any) -> Iterator[Piece]:
        self.asked.append((adapter, list(messages)))
        yield Piece("Half ")
        self.begun.set()
        assert self.goes_on.wait(20)
        if self.error is not None:
            raise self.error
        yield Piece("whole", 3, 2, "stop")


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch) -> Talker:
    found = Talker()
    monkeypatch.setattr(connect, "open_server", lambda _profile, _name: found)
    monkeypatch.setattr(trying, "EVENT_SECONDS", 0.0)
    return found


@pytest.fixture
def profile(home: Path) -> Profile:
    home.mkdir(parents=True)
    (home / "config.toml").write_text(
        '[profiles.default]\nurl = "https://x.example"\nanon_key = "k"\n'
        '[profiles.default.servers.gpu]\nurl = "http://gpu:8000"\n'
    )
    return load_profile()


class Application:
    """The screen's side: the real protocol over pipes."""

    def __init__(self, profile: Profile, *, is_offline: bool = False) -> None:
        owner = Owner("https://x.example", "user")

        def work(_hello: object, tell: Any) -> Any:
            self.trials = Trials(lambda: profile, owner, tell, is_offline=is_offline)
            calls = {call.__name__: call for call in self.trials.calls}

            class Work:
                def call(self, name: str, arguments: Any) -> Any:
                    return calls[name](**arguments)

                close = self.trials.stop

            return Work()

        self.writers = in_process_writers(work)
        self.came: list[tuple[str, list[str]]] = []
        self.told = threading.Condition()
        self.writers.on_answers = self.take

    def take(self, trial: str, answers: Any) -> None:
        with self.told:
            self.came.append((trial, [answer["text"] for answer in answers]))
            self.told.notify_all()

    def ask(self, trial: str = "t1", *, server: str = "gpu") -> tuple[threading.Thread, list[Any]]:
        found: list[Any] = []

        def call() -> None:
            try:
                asked = self.writers.try_models(trial, server, (BASE, ADAPTER), HI, Settings())
                found.extend(asked)
            except LoraTuiError as error:
                found.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        return thread, found


@pytest.fixture
def application(profile: Profile) -> Iterator[Application]:
    found = Application(profile)
    yield found
    found.writers.close()


def test_answers_come_as_events_and_whole_at_the_end(
    application: Application, talker: Talker
) -> None:
    thread, found = application.ask()
    with application.told:
        assert application.told.wait_for(lambda: ("t1", ["Half ", ""]) in application.came, 20)
    talker.goes_on.set()
    thread.join(20)
    assert [answer.text for answer in found] == ["Half whole", "Half whole"]
    assert found[0].progress is Progress.DONE
    assert [adapter for adapter, _ in talker.asked] == [None, "support-v1"]
    assert talker.asked[0][1] == [Message("user", "Hi")]


def test_a_cancel_ends_the_call_at_once_and_the_next_one_waits_for_its_turn(
    application: Application, talker: Talker
) -> None:
    thread, found = application.ask()
    assert talker.begun.wait(20)
    application.writers.cancel_try("t1")
    thread.join(20)
    assert [(one.progress, one.text[:5]) for one in found] == [
        (Progress.CANCELLED, "Half "),
        (Progress.CANCELLED, ""),
    ]
    assert talker.closed.is_set()  # the request ends with its connection
    application.writers.cancel_try("t1")  # it has ended: nothing happens
    thread, found = application.ask("t2")
    thread.join(20)
    assert [answer.text for answer in found] == ["Half whole"] * 2
    assert talker.most_open == 1


def test_errors_of_the_server_and_errors_that_nobody_foresaw_are_in_the_answers(
    application: Application, talker: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    talker.error = UnreachableError("The answer broke off")
    talker.goes_on.set()
    thread, found = application.ask()
    thread.join(20)
    assert [(one.text, one.error) for one in found] == [("Half ", "The answer broke off")] * 2

    def fails(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(connect, "open_server", fails)
    thread, found = application.ask("t2")
    thread.join(20)
    assert all(one.progress is Progress.FAILED and one.error for one in found)


def test_an_unknown_server_and_offline_are_refused(
    application: Application, profile: Profile, talker: Talker
) -> None:
    thread, found = application.ask(server="none")
    thread.join(20)
    assert "no server named" in str(found[0])
    offline = Application(profile, is_offline=True)
    thread, found = offline.ask()
    thread.join(20)
    offline.writers.close()
    assert isinstance(found[0], UnreachableError)
    assert not talker.asked


def test_votes_are_kept_and_read_again(application: Application) -> None:
    assert application.writers.votes() == []
    application.writers.note_vote("gpu", "Hi", "id", ["base", "id"])
    application.writers.note_vote("gpu", "Hi", "", ["id", "base"])
    first, second = application.writers.votes()
    assert (first.server, first.url, first.winner) == ("gpu", "http://gpu:8000", "id")
    assert (second.winner, second.contestants) == ("", ("id", "base"))


def test_the_end_of_the_engine_ends_what_it_asks(application: Application, talker: Talker) -> None:
    thread, found = application.ask()
    assert talker.begun.wait(20)
    application.writers.close()
    thread.join(20)
    assert not thread.is_alive()
    assert talker.closed.is_set()
    assert not found or isinstance(found[0], LoraTuiError | Answer)


def test_a_server_that_was_added_while_the_application_is_open_is_known(
    profile: Profile, talker: Talker
) -> None:
    owner = Owner("https://x.example", "user")
    requests = Requests(profile.paths, profile, owner, connect=None, tell=lambda *_: None)

    def known(server: str) -> None:
        """Proving and loading read the same profile."""
        requests.call(
            "note_vote",
            {"server": server, "prompt": "Hi", "winner": "id", "contestants": ["base", "id"]},
        )

    with pytest.raises(NotFoundError, match="no server named 'new'"):
        known("new")
    with profile.paths.config_file.open("a") as file:
        file.write('[profiles.default.servers.new]\nurl = "http://new:8000"\n')
    known("new")
    profile.paths.config_file.write_text("[not a table")  # half of an edit: the old ones stay
    known("new")
    requests.close()
