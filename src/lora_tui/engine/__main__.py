"""The engine process: `python -m lora_tui.engine REQUESTS ANSWERS`, two descriptors of pipes.

It ends when the application closes its end of the requests, or is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import IO, Final

from lora_tui.engine.logs import log_to_stderr, print_thread_traceback
from lora_tui.engine.protocol import Hello, Ready, read_message
from lora_tui.engine.server import Outbox, log_unexpected, serve
from lora_tui.engine.unexpected_errors import unexpected
from lora_tui.errors import LoraTuiError, UsageError
from lora_tui.processes import yield_to_others

END_SECONDS: Final = 8.0
"""The longest time to park what runs, once the application is gone."""
NICE: Final = 10
"""Below the application, so that keys are answered first."""


def main(words: list[str]) -> int:
    """Serve one application. The exit code."""
    try:
        requests_fd, answers_fd = map(int, words)
        requests, answers = os.fdopen(requests_fd, "rb"), os.fdopen(answers_fd, "wb")
    except (ValueError, OSError):
        print("this is started by `lora-tui`", file=sys.stderr)
        return UsageError.exit_code
    yield_to_others(NICE)
    os.environ.pop("GPG_TTY", None)  # where gpg's pinentry would draw over the application
    log_to_stderr(logging.WARNING)
    threading.excepthook = print_thread_traceback
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in (signal.SIGINT, signal.SIGHUP):  # the application ends it
        signal.signal(number, signal.SIG_IGN)
    return _serve(requests, answers)


def _serve(requests: IO[bytes], answers: IO[bytes]) -> int:
    hello = read_message(requests)
    if hello is None:
        return 0
    outbox = Outbox(answers)
    try:
        if not isinstance(hello, Hello):
            raise UsageError("The application did not say what the engine is to work on")
        from lora_tui.engine.requests import open_requests

        work = open_requests(hello, outbox.tell)
    except LoraTuiError as error:
        return _refuse(outbox, error)
    except Exception as error:
        log_unexpected("the start", error)
        return _refuse(outbox, unexpected(error))
    outbox.send(Ready(os.getpid()))
    try:
        serve(requests, outbox, work)
    except LoraTuiError as error:
        log_unexpected("the application's message", error)
    finally:
        _begin_end()
        work.close()
    return 0


def _refuse(outbox: Outbox, error: LoraTuiError) -> int:
    outbox.send(error)
    outbox.drain(END_SECONDS)
    return error.exit_code


def _begin_end() -> None:
    """End the process in any case after END_SECONDS, whatever still runs then."""
    timer = threading.Timer(END_SECONDS, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
