"""A download in a process of its own, for tests that kill it.

The processes are forked off a server that has imported everything: a campaign of kills does not
wait for Python to start again and again.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from lora_tui.cache.connection import open_cache
from lora_tui.cache.models import get_model
from lora_tui.errors import LoraTuiError
from lora_tui.transfers import fetch_bytes
from lora_tui.transfers.download import download
from lora_tui.transfers.runner import Runner, RunnerOptions
from tests.transfers.file_server import MODEL, no_delay

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class Child:
    """A process that downloads the model of a cache."""

    def __init__(self, home: Path, url: str, limit: int, cache: Path) -> None:
        self._receiver, sender = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_work, args=(sender, home, url, limit, cache))
        self._process.start()
        sender.close()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def answer(self) -> dict[str, Any]:
        """What became of it. The test's time-out is the limit."""
        answer: dict[str, Any] = self._receiver.recv()
        self._process.join()
        return answer

    def kill(self) -> None:
        """By SIGKILL; it is dead when this returns."""
        self._process.kill()
        self._process.join()


@contextmanager
def child(home: Path, url: str, *, limit: int = 0, cache: Path) -> Iterator[Child]:
    """A download in another process; it is dead when this ends. `limit`: RLIMIT_FSIZE."""
    process = Child(home, url, limit, cache)
    try:
        yield process
    finally:
        process.kill()


def _work(sender: Connection, home: Path, url: str, limit: int, cache: Path) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    fetch_bytes.NOTE_SECONDS = 0.05  # type: ignore[misc]
    runner = Runner(cache, RunnerOptions(sign=lambda _: url, delay=no_delay))
    with closing(open_cache(cache)) as db:
        model = get_model(db, MODEL)
    assert model is not None
    try:
        sender.send({"done": list(download(runner, model, home / "downloads").done)})
    except LoraTuiError as error:
        told = {"error": str(error), "kind": type(error).__name__, "code": error.exit_code}
        sender.send(told)
    runner.close()
