"""A webhook on loopback that notes what it gets, and a profile that names it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.secret import Secret
from tests.pseudo_terminal import PATIENCE


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Webhook(ThreadingHTTPServer):
    """Answers with `statuses`, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.retry_after = ""
        self.url = f"http://127.0.0.1:{self.server_port}/services/T000/B000/s3cr3t-path"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[Webhook]:
    """A webhook that answers until the block ends."""
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as server:
        yield server


@pytest.fixture
def profile(webhook: Webhook, home: Path) -> Profile:
    """With the webhook, of a project that is never asked."""
    return Profile(
        name="work",
        paths=find_paths(),
        url="https://project.example",
        anon_key="anon",
        alert_url=Secret(webhook.url),
        allow_private_urls=True,
    )
