"""The application's side of the engine: it starts the process, asks it, and starts it again.

`Engine` knows the protocol and nothing of processes; `start_process` makes the real one, and a
test can give it another.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final

from lora_tui.clock import Backoff
from lora_tui.engine.logs import open_log
from lora_tui.engine.protocol import (
    BUILD,
    PROTOCOL,
    Answer,
    Event,
    Hello,
    Ready,
    Request,
    encode,
    read_message,
    was_upgraded,
)
from lora_tui.errors import EngineEndedError, LoraTuiError, UpgradedError, ending_error
from lora_tui.processes import module_command

_log: Final = logging.getLogger(__name__)
STARTS: Final = 3
"""So many new starts after an unexpected end are tried within START_SECONDS."""
START_SECONDS: Final = 600.0
READY_SECONDS: Final = 30.0
"""The longest wait for the engine's first message."""
CLOSE_SECONDS: Final = 10.0
"""How long an engine may take to end; it parks downloads, and then it is ended."""
TERM_SECONDS: Final = 2.0
"""How long it may take to end once it got SIGTERM."""
PIPE_SECONDS: Final = 1.0
"""How long a call that is being written may hold up the end, where the engine reads nothing."""
RESTART: Final = Backoff(0.2, 5.0)
"""The waits before it is started again."""


_ENDED: Final = "The engine has ended unexpectedly, so this may not have happened"
"""Of a request in flight."""
_ENDED_OFTEN: Final = "It has ended unexpectedly several times"
_UPGRADED: Final = "lora-tui was upgraded while it was open"


class EngineState(Enum):
    """What the screen says of the engine."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True)
class Channel:
    """The pipes to one engine."""

    requests: IO[bytes]
    answers: IO[bytes]
    end: Callable[[float], None]
    """Waits so many seconds until it has ended by itself, then ends it."""


class Engine:
    """Asks the engine, from any thread.

    It is started by the first call or by `start`. Where it ends unexpectedly, calls in flight
    raise EngineEndedError (they are not repeated: nobody knows how far they came), and it is
    started again.
    """

    def __init__(
        self,
        open_channel: Callable[[], Channel],
        hello: Hello,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_channel, self._hello = open_channel, hello
        self.on_event: Callable[[Event], None] = lambda _: None
        self.on_state: Callable[[], None] = lambda: None
        """Called on other threads; `on_state` after each change of `state`, with `_changed` held:
        it must not wait for another thread."""
        self._clock = clock
        self._changed = threading.Condition()
        """Guards the fields below; `state` and `error` may be read without it. `_starts` belongs to
        the thread that runs `_run`, and after FAILED to `start`."""
        self._state = EngineState.STARTING
        self._error: LoraTuiError | None = None
        self._thread: threading.Thread | None = None
        self._channel: Channel | None = None
        self._sending = threading.Lock()
        """Held while one call is written to the pipe; taken without `_changed`, so that answers
        are read also while the engine takes no requests."""
        self._calls: dict[int, Future[Any]] = {}
        self._last_id = 0
        self._starts: deque[float] = deque()

    @property
    def state(self) -> EngineState:
        """Its state now."""
        return self._state

    @property
    def error(self) -> LoraTuiError | None:
        """Why it is FAILED; None in any other state."""
        return self._error

    def start(self) -> None:
        """Start it, unless it runs; after FAILED this is a new try. Returns at once."""
        with self._changed:
            runs = self._thread is not None and self._state is not EngineState.FAILED
            if runs or self._state is EngineState.CLOSED:
                return
            if self._state is EngineState.FAILED:
                self._starts.clear()
            self._set(EngineState.STARTING)
            thread = threading.Thread(target=self._run, name="engine", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                self._error = EngineEndedError(
                    "The engine can't be started", details="the system allows no more threads"
                )
                self._set(EngineState.FAILED)
            else:
                self._thread = thread

    def call(self, name: str, /, **arguments: Any) -> Any:
        """The engine's answer. Raises the error that it answers, or EngineEndedError."""
        if self._state is not EngineState.FAILED:
            self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._state is not EngineState.STARTING)
            if self._state is EngineState.CLOSED:
                raise ending_error()
            if self._state is EngineState.FAILED:
                assert self._error is not None
                raise self._error
            channel = self._channel
            assert channel is not None
            self._last_id += 1
            request = Request(self._last_id, name, arguments)
            line = encode(request)
            call: Future[Any] = Future()
            self._calls[request.id] = call
        try:
            with self._sending:
                channel.requests.write(line)
                channel.requests.flush()
        except (OSError, ValueError):  # the reader finds the end too, and answers all calls
            with self._changed:
                self._calls.pop(request.id, None)
            raise EngineEndedError(_ENDED) from None
        return call.result()

    def close(self) -> None:
        """End the engine: it parks what it does, within CLOSE_SECONDS."""
        with self._changed:
            if self._state is EngineState.CLOSED:
                return
            self._set(EngineState.CLOSED)
            channel, thread = self._channel, self._thread
        if channel is not None:
            _close_pipe(channel.requests, self._sending)
            channel.end(CLOSE_SECONDS)
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        """Start it as often as that is allowed, and read what it says."""
        while True:
            reason = self._serve_once()
            ended = reason or EngineEndedError(_ENDED)
            error = reason or EngineEndedError(_ENDED_OFTEN)
            if isinstance(error, EngineEndedError) and was_upgraded():
                error = UpgradedError(_UPGRADED)
            again = isinstance(error, EngineEndedError) and self._may_start_again()
            with self._changed:
                calls, self._calls = self._calls, {}
                self._channel = None
                if self._state is EngineState.CLOSED:
                    again, ended = False, ending_error()
                elif again:
                    self._set(EngineState.STARTING)
                else:
                    self._error = error
                    self._set(EngineState.FAILED)
            for call in calls.values():
                call.set_exception(ended)
            if not again:
                return
            pause = RESTART.wait(len(self._starts), 0.5)
            with self._changed:
                if self._changed.wait_for(self._is_closed, pause):
                    return

    def _serve_once(self) -> LoraTuiError | None:
        """Start it and read what it says until it ends; the reason of the end, if it is known."""
        try:
            channel = self._open_channel()
        except Exception as error:
            _log.warning("The engine can't be started", exc_info=True)
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            return EngineEndedError("The engine can't be started", details=reason)
        late = threading.Timer(READY_SECONDS, channel.end, args=(0.0,))
        late.daemon = True
        try:
            late.start()
            with self._changed:
                if self._is_closed():
                    return None
                self._channel = channel
            channel.requests.write(encode(self._hello))
            channel.requests.flush()
            first = read_message(channel.answers)
            late.cancel()
            if isinstance(first, LoraTuiError):
                return first
            if not isinstance(first, Ready):
                return EngineEndedError("The engine did not start")
            if (first.protocol, first.build) != (PROTOCOL, BUILD):
                return UpgradedError(_UPGRADED)
            with self._changed:
                if self._is_closed():
                    return None
                self._set(EngineState.READY)
            self._read(channel)
        except EngineEndedError as error:
            return error
        except (OSError, ValueError):
            pass
        except Exception:  # if this thread ended, the calls in flight would wait for ever
            _log.exception("The engine can't be understood")
        finally:
            late.cancel()
            closing = self._is_closed()
            _close_pipe(channel.requests, self._sending)
            channel.end(CLOSE_SECONDS if closing else 0.0)
            with suppress(OSError):
                channel.answers.close()
        return None

    def _read(self, channel: Channel) -> None:
        """Pass on answers and events until there are no more. Raises EngineEndedError."""
        while (message := read_message(channel.answers)) is not None:
            if isinstance(message, Event):
                self.on_event(message)
            elif isinstance(message, Answer):
                with self._changed:
                    call = self._calls.pop(message.id, None)
                if call is None:
                    continue
                if message.error is not None:
                    call.set_exception(message.error)
                else:
                    call.set_result(message.value)
            else:
                raise EngineEndedError("The engine sent something that is no answer")

    def _may_start_again(self) -> bool:
        """Whether it was not started again too often of late; counts this start."""
        now = self._clock()
        while self._starts and now - self._starts[0] > START_SECONDS:
            self._starts.popleft()
        if len(self._starts) >= STARTS:
            return False
        self._starts.append(now)
        return True

    def _is_closed(self) -> bool:
        return self._state is EngineState.CLOSED

    def _set(self, state: EngineState) -> None:
        """Change the state; call it with `_changed` held."""
        self._state = state
        if state is not EngineState.FAILED:
            self._error = None
        self._changed.notify_all()
        self.on_state()


def start_process(log_file: Path) -> Channel:
    """A new engine process in a session of its own, with the log file as its stdout and stderr.

    Raises OSError where it can't be started.
    """
    with open_log(log_file) as log, ExitStack() as ours, ExitStack() as theirs:
        requests_in, requests_out = os.pipe()
        theirs.callback(os.close, requests_in)
        ours.callback(os.close, requests_out)
        answers_in, answers_out = os.pipe()
        ours.callback(os.close, answers_in)
        theirs.callback(os.close, answers_out)
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and our own module
            [*module_command("lora_tui.engine"), str(requests_in), str(answers_out)],
            pass_fds=(requests_in, answers_out),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # ctrl+c and ctrl+z are for the application
        )
        ours.pop_all()

    def end(seconds: float) -> None:
        for number, patience in ((None, seconds), (signal.SIGTERM, TERM_SECONDS)):
            if number is not None:
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                return
        process.kill()
        process.wait()

    return Channel(os.fdopen(requests_out, "wb"), os.fdopen(answers_in, "rb"), end)


def _close_pipe(pipe: IO[bytes], sending: threading.Lock) -> None:
    """Close our end of the requests, unless a call hangs in writing to an engine that hangs."""
    if sending.acquire(timeout=PIPE_SECONDS):
        try:
            with suppress(OSError):
                pipe.close()
        finally:
            sending.release()
