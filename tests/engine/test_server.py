"""The engine answers what it was asked, whatever happens to a request or to the reader."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import IO, Any

import pytest

from lora_tui.engine.protocol import Answer, Event, Request, encode, read_message
from lora_tui.engine.server import Outbox, serve
from lora_tui.errors import LoraTuiError, NotFoundError
from lora_tui.secret import Secret
from tests.engine.in_process import FakeWork


class Served:
    """An engine's side that runs in a thread, and the application's ends of its pipes."""

    def __init__(self, work: FakeWork) -> None:
        requests_in, requests_out = os.pipe()
        answers_in, answers_out = os.pipe()
        self.requests = os.fdopen(requests_out, "wb")
        self.answers = os.fdopen(answers_in, "rb")
        self._streams: tuple[IO[bytes], ...] = (
            os.fdopen(requests_in, "rb"),
            os.fdopen(answers_out, "wb"),
        )
        self.outbox = Outbox(self._streams[1])
        self.ended = threading.Event()
        self.error: LoraTuiError | None = None

        def run() -> None:
            try:
                serve(self._streams[0], self.outbox, work)
            except LoraTuiError as error:
                self.error = error
            self.ended.set()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def ask(self, *requests: Request) -> None:
        self.requests.write(b"".join(map(encode, requests)))
        self.requests.flush()

    def close(self) -> None:
        for stream in (self.requests, self.answers):
            stream.close()
        self._thread.join()
        self.outbox.close(0.0)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def make(**calls: Callable[..., Any]) -> Served:
        started.append(Served(FakeWork(**calls)))
        return started[-1]

    yield make
    for one in started:
        one.close()


Start = Callable[..., Served]


def test_an_answer_does_not_wait_for_an_earlier_request(start: Start) -> None:
    go_on = threading.Event()
    served = start(slow=lambda: go_on.wait() and "slow", quick=lambda: "quick")
    served.ask(Request(1, "slow", {}), Request(2, "quick", {}))
    assert read_message(served.answers) == Answer(2, "quick")
    go_on.set()
    assert read_message(served.answers) == Answer(1, "slow")


def fail(error: BaseException) -> Callable[..., Any]:
    def call(**_arguments: Any) -> Any:
        raise error

    return call


def test_an_error_of_the_family_is_the_answer(start: Start) -> None:
    served = start(sync=fail(NotFoundError("It is gone", details="d", remedy="r")))
    served.ask(Request(1, "sync", {}))
    answer = read_message(served.answers)
    assert isinstance(answer, Answer)
    assert isinstance(answer.error, NotFoundError)
    assert (str(answer.error), answer.error.details, answer.error.remedy) == (
        "It is gone",
        "d",
        "r",
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), MemoryError(), SystemExit(3)])
def test_an_unforeseen_error_is_an_answer_that_names_the_log(
    start: Start, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    served = start(sync=fail(error), quick=lambda: 1)
    served.ask(Request(1, "sync", {}))
    answer = read_message(served.answers)
    assert isinstance(answer, Answer)
    assert type(answer.error) is LoraTuiError
    assert type(error).__name__ in str(answer.error)
    assert "log" in (answer.error.remedy or "")
    served.ask(Request(2, "quick", {}))
    assert read_message(served.answers) == Answer(2, 1)
    logged = capsys.readouterr().err
    assert "Traceback" in logged
    assert "test_server.py" in logged


def test_no_secret_and_no_local_variable_is_in_the_log(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    def sign_in(*, email: str, password: str) -> None:
        Secret(password)
        raise RuntimeError(f"refused: {password}")

    served = start(sign_in=sign_in)
    served.ask(Request(1, "sign_in", {"email": "ada@example.org", "password": "open sesame"}))
    answer = read_message(served.answers)
    assert isinstance(answer, Answer)
    assert "sesame" not in f"{answer!r}"
    logged = capsys.readouterr().err
    assert "RuntimeError: refused" in logged
    assert "sesame" not in logged
    assert "ada@" not in logged


def test_a_log_on_a_full_disk_keeps_no_answer_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stderr", full)
        served = start(sync=lambda: 1 / 0)
        served.ask(Request(1, "sync", {}))
        answer = read_message(served.answers)
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert isinstance(answer, Answer)
    assert "ZeroDivisionError" in str(answer.error)


def test_a_request_for_which_no_thread_can_be_started_is_answered_and_the_next_one_is_served(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    served = start(sync=lambda: "done")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        served.ask(Request(1, "sync", {}))
        answer = read_message(served.answers)
    assert isinstance(answer, Answer)
    assert "RuntimeError" in str(answer.error)
    served.ask(Request(2, "sync", {}))
    assert read_message(served.answers) == Answer(2, "done")


def test_an_answer_that_is_no_json_is_an_error(start: Start) -> None:
    served = start(sync=lambda: object())
    served.ask(Request(1, "sync", {}))
    answer = read_message(served.answers)
    assert isinstance(answer, Answer)
    assert "TypeError" in str(answer.error)


def test_it_ends_with_the_application(start: Start) -> None:
    served = start()
    served.requests.close()
    assert served.ended.wait(60)
    assert served.error is None


@pytest.mark.parametrize("line", [b"nonsense\n", encode(Answer(1, 2)), b'{"id": 1, "do": "sy'])
def test_an_application_that_talks_nonsense_ends_it(start: Start, line: bytes) -> None:
    served = start()
    served.requests.write(line)
    served.requests.close()
    assert served.ended.wait(60)
    assert served.error is not None


class Blocked(io.RawIOBase):
    """A pipe that nobody reads until `go_on`."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.lines: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        self.begun.set()
        self.go_on.wait()
        self.lines.append(bytes(line))
        return len(line)


def messages(stream: Blocked) -> list[Any]:
    source = io.BytesIO(b"".join(stream.lines))
    return list(iter(lambda: read_message(source), None))


def test_while_nobody_reads_only_the_newest_event_of_a_name_is_kept_and_every_answer() -> None:
    stream = Blocked()
    outbox = Outbox(stream)  # type: ignore[arg-type]
    outbox.send(Answer(0))
    stream.begun.wait()
    for number in range(10_000):
        outbox.tell("harvest", number)
        outbox.tell("bytes", -number)
        if number % 1000 == 0:
            outbox.send(Answer(number + 1))
    stream.go_on.set()
    outbox.close(60)
    told = messages(stream)
    assert [one.id for one in told if isinstance(one, Answer)] == [
        0,
        *(number + 1 for number in range(0, 10_000, 1000)),
    ]
    assert [one for one in told if isinstance(one, Event)] == [
        Event("harvest", 9999),
        Event("bytes", -9999),
    ]


def test_a_reader_that_has_gone_holds_nothing_up() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with closing(os.fdopen(writer, "wb", buffering=0)) as stream:
        outbox = Outbox(stream)
        outbox.send(Answer(1))
        outbox.drain(10)
        outbox.send(Answer(2))
        outbox.tell("harvest", {})
        outbox.close(60)
