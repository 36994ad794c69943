"""An engine without a process: the real protocol over two pipes, served by a thread of the test.

It imports nothing of the network, for programs on a terminal use it too; see profile_engine.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from lora_tui.engine.process import Channel, Engine
from lora_tui.engine.protocol import Hello, Ready, read_message
from lora_tui.engine.server import Outbox, Work, serve
from lora_tui.engine.writers import Writers
from lora_tui.errors import LoraTuiError

OpenWork = Callable[[Hello, Callable[[str, Any], None]], Work]
"""Makes the work of one engine, like `requests.open_requests`: from the hello and `tell`."""

DOWNLOADS = Path("/nowhere/downloads")
HELLO = Hello(profile=None, config_file=None, offline=False, owner=None)


class FakeWork:
    """Answers each request with a function of its name; notes what was asked."""

    def __init__(self, **calls: Callable[..., Any]) -> None:
        self.calls: Mapping[str, Callable[..., Any]] = calls
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.closed = threading.Event()

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        self.asked.append((name, arguments))
        call = self.calls.get(name)
        return None if call is None else call(**arguments)

    def close(self) -> None:
        self.closed.set()


def in_process_engine(work: Work | OpenWork, hello: Hello = HELLO) -> Engine:
    """An engine that is not started yet; each start serves `work`, or opens it anew."""
    open_work = work if callable(work) else lambda _hello, _tell: work
    return Engine(lambda: in_process_channel(open_work), hello)


def in_process_writers(work: Work | OpenWork, hello: Hello = HELLO) -> Writers:
    """Writers that ask such an engine."""
    return Writers(lambda: in_process_engine(work, hello), DOWNLOADS)


def in_process_channel(open_work: OpenWork) -> Channel:
    """The application's ends of the pipes to a new engine."""
    requests_in, requests_out = os.pipe()
    answers_in, answers_out = os.pipe()
    requests, answers = os.fdopen(requests_in, "rb"), os.fdopen(answers_out, "wb")
    thread = threading.Thread(
        target=_serve, args=(requests, answers, open_work), name="in-process engine", daemon=True
    )
    thread.start()
    return Channel(os.fdopen(requests_out, "wb"), os.fdopen(answers_in, "rb"), thread.join)


def _serve(requests: IO[bytes], answers: IO[bytes], open_work: OpenWork) -> None:
    """As `engine.__main__` does in a process."""
    outbox, work = Outbox(answers), None
    try:
        hello = read_message(requests)
        if isinstance(hello, Hello):
            work = open_work(hello, outbox.tell)
            outbox.send(Ready(os.getpid()))
            serve(requests, outbox, work)
    except LoraTuiError as error:
        outbox.send(error)
    finally:
        if work is not None:
            work.close()
        outbox.close(1.0)
        for stream in (requests, answers):
            with suppress(OSError):  # the application has closed its end first
                stream.close()
