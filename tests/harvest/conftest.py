"""Each test has a sandbox of its own; nobody waits between attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_retries import Retry

from lora_tui.gateway.gpu import Worker
from lora_tui.gateway.http import build_client
from lora_tui.secret import Secret
from tests.harvest.world import World


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "sleep", lambda _policy, _answer: None)


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    with ExitStack() as stack:

        def make(**options: Any) -> World:
            home = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
            home.mkdir()
            return stack.enter_context(World(home, **options))

        yield make


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """Four jobs are waiting, nothing else is there."""
    return new_world()


@pytest.fixture
def pair(new_world: Callable[..., World]) -> World:
    """Two jobs are waiting; a file of the older one goes in resumable pieces."""
    return new_world(waiting_jobs=2)


@pytest.fixture
def new_worker() -> Callable[[Any], Worker]:
    """Makes a worker that answers every question about a job's status with this body."""

    def make(body: Any) -> Worker:
        def answer(request: httpx.Request) -> httpx.Response:
            if "/status/" not in request.url.path:
                return httpx.Response(404)
            return httpx.Response(200, json=body)

        url = "https://worker.test/v2/x"
        client = build_client(url, transport=httpx.MockTransport(answer))
        return Worker(url, Secret("a key"), client=client)

    return make
