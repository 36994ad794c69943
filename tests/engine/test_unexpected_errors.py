"""What is written of an error that nobody foresaw: where it was raised, bounded, no secret."""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.engine.logs import MOST_BYTES, LogFile
from lora_tui.engine.protocol import Hello
from lora_tui.engine.unexpected_errors import place_of, traceback_text, unexpected
from lora_tui.errors import EngineEndedError
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe
from tests.engine.in_process import FakeWork, in_process_writers

LIMIT = 45_000


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def odd(number: int) -> None:
    even(number)


def even(number: int) -> None:
    odd(number)


def test_it_says_where_and_what_and_in_which_order() -> None:
    text = traceback_text(raised(ValueError("the second"), raised(KeyError("the first"))))
    assert text.index("KeyError: 'the first'") < text.index("was the direct cause")
    assert text.index("was the direct cause") < text.index("ValueError: the second")
    assert "in raised\n    raise error from cause\n" in text


def test_a_secret_in_a_message_or_a_note_is_masked() -> None:
    held = Secret("a-passphrase-in-plain-words")
    error = ValueError(f"sent {held.reveal()} and token=abc\nBearer abcdef.ghi\x1b[2J")
    error.add_note("password: hunter2hunter2")
    text = traceback_text(raised(error))
    assert "ValueError: sent •••••• and token=•••••• Bearer ••••••" in text
    for secret in (held.reveal(), "abcdef", "hunter2", "\x1b"):
        assert secret not in text


def test_an_endless_recursion_and_a_huge_message_are_cut() -> None:
    with pytest.raises(RecursionError) as found:
        odd(1)
    text = traceback_text(found.value)
    assert " more …" in text
    assert len(text) < LIMIT
    chain: BaseException = ValueError("x" * 10_000_000)
    for number in range(100):
        chain = raised(ValueError(str(number) + "x" * 100_000), chain)
    assert len(traceback_text(chain)) < LIMIT


def test_causes_in_a_circle_and_a_message_that_fails_are_no_second_fault() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert "second" in traceback_text(first)
    assert "UnreadableError: (its message can't be read)" in traceback_text(UnreadableError())


def test_the_place_is_that_of_our_code_even_if_another_package_raised_it() -> None:
    with pytest.raises(TypeError) as found:
        terminal_safe("text", limit="ten")  # type: ignore[arg-type]
    place = place_of(found.value)
    assert place is not None
    assert place.startswith("lora_tui/text.py, line ")
    assert unexpected(found.value).details == place
    assert place_of(ValueError()) is None


def test_the_log_is_private_bounded_and_has_no_secret(tmp_path: Path) -> None:
    held = Secret("a-passphrase-in-plain-words")
    path = tmp_path / "state" / "engine.log"
    log = LogFile(path)
    record = logging.LogRecord("odd", logging.ERROR, "", 1, "with %s\n", (held.reveal(),), None)
    log.emit(record)
    log.add_error("sync", raised(ValueError(held.reveal())))
    text = path.read_text()
    assert "] ERROR odd: with ••••••\n" in text
    assert "] ERROR sync failed\nTraceback" in text
    assert held.reveal() not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    log.emit(record)
    assert path.stat().st_size < 1_000
    assert path.with_name("engine.log.1").stat().st_size == MOST_BYTES + 1


def test_a_log_that_can_not_be_written_is_no_second_fault(tmp_path: Path) -> None:
    (tmp_path / "engine.log").mkdir()
    log = LogFile(tmp_path / "engine.log")
    log.add_error("sync", ValueError())
    log.emit(logging.LogRecord("odd", logging.ERROR, "", 1, "%d", ("no number",), None))


def test_an_event_that_makes_no_sense_fails_the_calls_in_flight_instead_of_hanging_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def open_work(_hello: Hello, tell: Callable[[str, Any], None]) -> FakeWork:
        def sync(**_: Any) -> None:
            tell("harvest", {"no": "state"})
            never.wait()

        return FakeWork(sync=sync)

    never = threading.Event()
    writers = in_process_writers(open_work)
    try:
        with pytest.raises(EngineEndedError):
            writers.sync()
        assert "KeyError" in caplog.text
    finally:
        never.set()
        writers.close()


def test_where_no_thread_can_be_started_for_the_engine_that_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writers = in_process_writers(FakeWork())
    monkeypatch.setattr(threading.Timer, "start", no_thread)
    with pytest.raises(EngineEndedError):
        writers.sync()
    writers.close()
