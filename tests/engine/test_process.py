"""Whatever the engine does, the application gets an answer, and ends when the user wants it to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pytest

from lora_tui.clock import Backoff
from lora_tui.engine import process
from lora_tui.engine.process import Channel, Engine, EngineState
from lora_tui.engine.protocol import (
    PROTOCOL,
    Answer,
    Event,
    Hello,
    Message,
    Ready,
    Request,
    encode,
    read_message,
)
from lora_tui.errors import (
    ConfigError,
    EngineEndedError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
    UpgradedError,
)

HELLO = Hello(profile="work", config_file=None, offline=False, owner=None)


class Peer:
    """An engine that does what the test says; its streams are the other ends of the pipes."""

    def __init__(self) -> None:
        requests_in, requests_out = os.pipe()
        answers_in, answers_out = os.pipe()
        self.requests: IO[bytes] = os.fdopen(requests_in, "rb")
        self.answers: IO[bytes] = os.fdopen(answers_out, "wb")
        self.ends: list[float] = []
        """The patience of each call of `end`."""
        self.ended = threading.Event()
        self.channel = Channel(
            os.fdopen(requests_out, "wb"), os.fdopen(answers_in, "rb"), self._end
        )

    def say(self, message: Message | bytes) -> None:
        self.answers.write(message if isinstance(message, bytes) else encode(message))
        self.answers.flush()

    def next_request(self) -> Request:
        message = read_message(self.requests)
        assert isinstance(message, Request)
        return message

    def begin(self, first: Message | bytes = Ready(1)) -> None:  # noqa: B008
        assert read_message(self.requests) == HELLO
        self.say(first)

    def die(self) -> None:
        if not self.answers.closed:
            self.answers.close()
            self.requests.close()

    def _end(self, seconds: float) -> None:
        """As `start_process`: wait for its own end, then end it."""
        self.ends.append(seconds)
        self.ended.set()
        self.die()


class World:
    """An engine of the application, and every peer that it has started."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.behave: Callable[[Peer], None] = Peer.begin
        """What a new peer does, in a thread of its own."""
        self.now = 0.0
        self.states: list[EngineState] = []
        self.events: list[Event] = []
        self.engine = Engine(self._open, HELLO, clock=lambda: self.now)
        self.engine.on_state = lambda: self.states.append(self.engine.state)
        self.engine.on_event = self.events.append
        self._threads = ThreadPoolExecutor()

    def _open(self) -> Channel:
        peer = Peer()
        self.peers.append(peer)
        threading.Thread(target=self._run, args=(peer,), daemon=True).start()
        return peer.channel

    def _run(self, peer: Peer) -> None:
        try:
            self.behave(peer)
        except (ValueError, OSError, AssertionError):
            peer.die()

    def ask(self, name: str = "sync", **arguments: Any) -> Any:
        """The call, made in a thread; its `result()`."""
        return self._threads.submit(self.engine.call, name, **arguments)

    def until(self, condition: Callable[[], object]) -> None:
        """pytest's time-out is the limit."""
        while not condition():
            time.sleep(0.002)

    def close(self) -> None:
        self.engine.close()
        self._threads.shutdown()
        for peer in self.peers:
            peer.die()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(process, "RESTART", Backoff(0.0, 0.0))
    world = World()
    yield world
    world.close()


def serve(peer: Peer, answer: Callable[[Request], Message | bytes | None]) -> None:
    """Answer each request; where there is no answer, die."""
    peer.begin()
    while True:
        said = answer(peer.next_request())
        if said is None:
            peer.die()
            return
        peer.say(said)


def echo(request: Request) -> Answer:
    return Answer(request.id, [request.name, dict(request.arguments)])


def test_the_first_call_starts_it_and_is_answered(world: World) -> None:
    world.behave = lambda peer: serve(peer, echo)
    assert world.engine.state is EngineState.STARTING
    assert world.ask("sync", full=True).result() == ["sync", {"full": True}]
    assert world.ask("again").result() == ["again", {}]
    assert len(world.peers) == 1
    assert world.states == [EngineState.STARTING, EngineState.READY]


def test_answers_in_another_order_reach_their_callers(world: World) -> None:
    def in_turn(peer: Peer) -> None:
        peer.begin()
        requests = [peer.next_request() for _ in range(3)]
        for request in reversed(requests):
            peer.say(Event("moved", request.id))
            peer.say(echo(request))
        peer.say(Answer(999, "nobody asked"))

    world.behave = in_turn
    calls = [world.ask(name) for name in ("a", "b", "c")]
    assert [call.result()[0] for call in calls] == ["a", "b", "c"]
    assert [event.name for event in world.events] == ["moved"] * 3


def test_the_engine_s_error_is_raised(world: World) -> None:
    world.behave = lambda peer: serve(
        peer, lambda request: Answer(request.id, error=NotFoundError("It is gone"))
    )
    with pytest.raises(NotFoundError, match="It is gone"):
        world.ask().result()


def test_a_request_that_is_too_long_is_an_error_and_harms_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.behave = lambda peer: serve(peer, echo)
    world.ask().result()
    monkeypatch.setattr("lora_tui.engine.protocol.MAX_LINE", 200)
    with pytest.raises(LoraTuiError, match="too long"):
        world.ask("sync", text="x" * 300).result()
    assert world.ask().result() == ["sync", {}]


def test_calls_in_flight_fail_when_it_dies_and_are_not_repeated(world: World) -> None:
    asked: list[str] = []

    def die_at_the_second(peer: Peer) -> None:
        peer.begin()
        asked.append(peer.next_request().name)
        asked.append(peer.next_request().name)
        world.behave = lambda peer: serve(peer, answer)
        peer.die()

    def answer(request: Request) -> Message:
        asked.append(request.name)
        return echo(request)

    world.behave = die_at_the_second
    calls = [world.ask("download"), world.ask("download")]
    for call in calls:
        with pytest.raises(EngineEndedError, match="may not have happened"):
            call.result()
    assert world.ask("sync").result() == ["sync", {}]  # by a new one
    assert asked == ["download", "download", "sync"]
    assert len(world.peers) == 2


def die(peer: Peer) -> None:
    peer.begin()
    peer.die()


def test_it_is_started_again_three_times_in_ten_minutes_and_then_by_the_user(
    world: World,
) -> None:
    world.behave = die
    world.engine.start()
    world.until(lambda: world.engine.state is EngineState.FAILED)
    assert len(world.peers) == 1 + process.STARTS
    assert isinstance(world.engine.error, EngineEndedError)
    with pytest.raises(EngineEndedError):
        world.ask().result()
    assert len(world.peers) == 1 + process.STARTS
    world.behave = lambda peer: serve(peer, echo)
    world.engine.start()
    assert world.ask().result() == ["sync", {}]
    assert world.engine.error is None


def test_after_ten_minutes_an_end_counts_no_more(world: World) -> None:
    world.behave = lambda peer: serve(peer, lambda _: None)
    for _ in range(2 * process.STARTS):
        with pytest.raises(EngineEndedError):
            world.ask().result()
        world.now += process.START_SECONDS / 2
    assert world.engine.state is not EngineState.FAILED


@pytest.mark.parametrize(
    "first",
    [
        b"Traceback (most recent call last):\n",
        b'{"id": 1, "ok": null}\n',
        b"",
        b'{"ready": ',
        encode(Event("harvest", {})),
    ],
)
def test_one_that_talks_nonsense_at_first_is_ended_and_failed(world: World, first: bytes) -> None:
    def talk(peer: Peer) -> None:
        peer.begin(first)
        if not first.endswith(b"\n"):
            peer.die()

    world.behave = talk
    with pytest.raises(EngineEndedError):
        world.ask().result()
    world.until(lambda: world.engine.state is EngineState.FAILED)
    assert all(peer.ended.is_set() for peer in world.peers)


@pytest.mark.parametrize("said", [b"nonsense\n", encode(Ready(2)), encode(Request(1, "a", {}))])
def test_one_that_talks_nonsense_later_is_ended_and_its_calls_fail(
    world: World, said: bytes
) -> None:
    world.behave = lambda peer: serve(peer, lambda _: said)
    with pytest.raises(EngineEndedError):
        world.ask().result()
    assert world.peers[0].ended.is_set()


def test_one_that_refuses_says_why_and_is_not_started_again(world: World) -> None:
    world.behave = lambda peer: peer.begin(ConfigError("The profile is gone", remedy="make one"))
    with pytest.raises(ConfigError, match="The profile is gone"):
        world.ask().result()
    assert len(world.peers) == 1
    assert world.engine.state is EngineState.FAILED


@pytest.mark.parametrize("first", [Ready(1, build="0.2"), Ready(1, protocol=PROTOCOL + 1)])
def test_another_version_is_said_and_not_started_again(world: World, first: Ready) -> None:
    world.behave = lambda peer: peer.begin(first)
    with pytest.raises(UpgradedError, match="upgraded while it was open") as raised:
        world.ask().result()
    assert "start lora-tui again" in (raised.value.remedy or "")
    assert len(world.peers) == 1


def test_one_that_can_not_start_after_an_upgrade_says_that_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "was_upgraded", lambda: True)
    world.behave = Peer.die
    with pytest.raises(UpgradedError):
        world.ask().result()
    assert len(world.peers) == 1


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_process_that_can_not_be_made_is_said(
    world: World, error: Exception, details: str
) -> None:
    del world

    def fail() -> Channel:
        raise error

    engine = Engine(fail, HELLO)
    with pytest.raises(EngineEndedError) as raised:
        engine.call("sync")
    assert raised.value.details == details
    assert engine.state is EngineState.FAILED
    engine.close()


def test_without_a_thread_for_it_the_engine_has_failed_and_the_application_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(EngineEndedError, match="can't be started"):
            world.engine.call("sync")
    assert world.engine.state is EngineState.FAILED
    world.behave = lambda peer: serve(peer, echo)
    world.engine.start()  # the user tries again
    assert world.ask().result() == ["sync", {}]


def wait_for_the_end(peer: Peer) -> None:
    peer.ended.wait()


def test_one_that_says_nothing_at_the_start_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "READY_SECONDS", 0.02)
    world.behave = wait_for_the_end
    with pytest.raises(EngineEndedError):
        world.ask().result()
    assert all(peer.ended.is_set() for peer in world.peers)
    assert len(world.peers) == 1 + process.STARTS


def test_its_end_is_waited_for_and_calls_in_flight_fail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CLOSE_SECONDS", 5.0)
    got = threading.Event()

    def hang(peer: Peer) -> None:
        peer.begin()
        peer.next_request()
        got.set()
        peer.ended.wait()

    world.behave = hang
    call = world.ask()
    got.wait()
    world.engine.close()
    with pytest.raises(UnreachableError, match="ending"):
        call.result()
    assert world.peers[0].ends[0] == 5.0
    assert world.engine.state is EngineState.CLOSED
    with pytest.raises(UnreachableError, match="ending"):
        world.engine.call("sync")
    world.engine.start()
    world.engine.close()
    assert len(world.peers) == 1


def test_a_call_that_waits_for_the_start_ends_with_the_application(world: World) -> None:
    silent = threading.Event()

    def say_nothing(peer: Peer) -> None:
        silent.set()
        peer.ended.wait()

    world.behave = say_nothing
    call = world.ask()
    silent.wait()
    world.engine.close()
    with pytest.raises(UnreachableError, match="ending"):
        call.result()


def test_a_full_pipe_does_not_hold_up_the_end_of_the_application(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine hangs and reads nothing, and a call is being written to it."""
    monkeypatch.setattr(process, "PIPE_SECONDS", 0.02)

    def read_nothing(peer: Peer) -> None:
        peer.begin()
        peer.ended.wait()

    world.behave = read_nothing
    world.engine.start()
    world.until(lambda: world.engine.state is EngineState.READY)
    call = world.ask("sync", text="x" * (1 << 20))
    world.engine.close()
    with pytest.raises((UnreachableError, EngineEndedError)):
        call.result()
