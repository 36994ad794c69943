"""A sandbox, its faults switched off before each test; a retry policy that does not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from lora_tui.gateway import Gateway
from lora_tui.gateway.auth import Session, SessionAuth, sign_in
from lora_tui.gateway.retry import RETRY
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret

AT_ONCE = RETRY.copy_with(backoff_factor=0.0)
"""The real policy, which does not wait between attempts."""


class Script:
    """A transport that answers by a function and remembers what it was asked."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer
        self.transport = httpx.MockTransport(self._handle)

    @classmethod
    def of(cls, *answers: httpx.Response | Exception) -> Script:
        """Gives these answers in turn, the last one for ever."""
        left = list(answers)

        def answer(_request: httpx.Request) -> httpx.Response:
            given = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(given, Exception):
                raise given
            return httpx.Response(given.status_code, headers=given.headers, content=given.content)

        return cls(answer)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with Sandbox.start(models=15) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    running.clear_faults()
    running.forget_requests()
    yield running
    running.clear_faults()


@pytest.fixture
def session(sandbox: Sandbox) -> Session:
    session = sign_in(sandbox.url, sandbox.anon_key, sandbox.email, Secret(sandbox.password))
    sandbox.forget_requests()
    return session


@pytest.fixture
def user(sandbox: Sandbox, session: Session) -> Iterator[Gateway]:
    auth = SessionAuth(sandbox.url, sandbox.anon_key, session)
    with Gateway.of(sandbox.url, auth) as gateway:
        yield gateway


@pytest.fixture
def service(sandbox: Sandbox) -> Iterator[Gateway]:
    with Gateway.for_service(sandbox.url, Secret(sandbox.service_key)) as gateway:
        yield gateway


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited; nothing waits."""
    recorded: list[float] = []
    monkeypatch.setattr("httpx_retries.retry.time.sleep", recorded.append)
    return recorded
