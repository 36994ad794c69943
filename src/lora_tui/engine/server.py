"""The engine's side of the protocol: requests run in threads, answers go to the outbox."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final, Protocol

from lora_tui.engine.logs import print_traceback
from lora_tui.engine.protocol import Answer, Event, Message, Request, encode, read_message
from lora_tui.engine.unexpected_errors import unexpected
from lora_tui.errors import LoraTuiError

_log: Final = logging.getLogger(__name__)


class Work(Protocol):
    """What the engine can do."""

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The result of a request, as JSON has it. Raises LoraTuiError."""

    def close(self) -> None:
        """Interrupt what runs; downloads continue at the next start."""


class Outbox:
    """Messages to the application, written by a thread of their own.

    An application that reads nothing (it is suspended) holds up no work: answers wait, and of
    each event only the newest is kept.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._answers: deque[bytes] = deque()
        self._events: dict[str, bytes] = {}
        self._writing = self._broken = self._closed = False
        threading.Thread(target=self._write, name="outbox", daemon=True).start()

    def send(self, message: Message) -> None:
        """Send an answer. Raises LoraTuiError where it is too long."""
        line = encode(message)
        with self._changed:
            self._answers.append(line)
            self._changed.notify_all()

    def tell(self, name: str, data: Any) -> None:
        """Send an event, in place of an older one of this name that was not sent yet."""
        line = encode(Event(name, data))
        with self._changed:
            self._events[name] = line
            self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Wait until everything is sent, or nobody reads it any more."""
        with self._changed:
            self._changed.wait_for(self._is_idle, seconds)

    def close(self, seconds: float) -> None:
        """Like `drain`; nothing is sent any more."""
        self.drain(seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_idle(self) -> bool:
        return self._broken or not (self._answers or self._events or self._writing)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._answers or self._events)
                if self._closed:
                    return
                lines = [*self._answers, *self._events.values()]
                self._answers.clear()
                self._events.clear()
                self._writing = True
            try:
                for line in lines:
                    self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):  # the application is gone; the end of requests says so
                with self._changed:
                    self._broken = True
                    self._changed.notify_all()
                return


def serve(requests: IO[bytes], outbox: Outbox, work: Work) -> None:
    """Answer requests until the application closes its end. Raises LoraTuiError for nonsense."""
    while (message := read_message(requests)) is not None:
        if not isinstance(message, Request):
            raise LoraTuiError("The application sent something that is no request")
        run = threading.Thread(
            target=_run, args=(message, outbox, work), name=message.name, daemon=True
        )
        try:
            run.start()
        except (RuntimeError, MemoryError) as error:  # the system allows no more threads
            outbox.send(Answer(message.id, error=unexpected(error)))


def _run(request: Request, outbox: Outbox, work: Work) -> None:
    try:
        value = work.call(request.name, request.arguments)
        outbox.send(Answer(request.id, value))
    except LoraTuiError as error:
        outbox.send(Answer(request.id, error=error))
    except BaseException as error:
        log_unexpected(request.name, error)
        outbox.send(Answer(request.id, error=unexpected(error)))


def log_unexpected(what: str, error: BaseException) -> None:
    """Print where an unforeseen error was raised, without local variables and secrets.

    Never raises: whoever asked waits for the answer, also where there is no memory for a traceback.
    """
    with suppress(Exception):
        _log.error("%s failed", what)
        print_traceback(error)
