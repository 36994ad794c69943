"""Backends, people and rows for the contract suite; each test runs once on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from lora_tui.gateway import Gateway
from lora_tui.gateway.auth import SessionAuth, sign_in
from lora_tui.secret import Secret
from tests.backends.backend import Account, Backend, sandbox_backend
from tests.backends.lite import lite_backend
from tests.backends.seed import Row, Seed

BACKENDS: Final[dict[str, Callable[..., AbstractContextManager[Backend]]]] = {
    "sandbox": sandbox_backend,
    "lite": lite_backend,
}


@dataclass(frozen=True)
class Person:
    """A signed-in user: by our gateway, and by a plain client without our filters."""

    account: Account
    gateway: Gateway
    bare: httpx.Client

    @property
    def id(self) -> str:
        return self.account.user_id

    def sees(self, table: str, row: Row) -> bool:
        """Whether a bare query by its id shows the row."""
        return sees(self.bare, table, row)


def sees(http: httpx.Client, table: str, row: Row) -> bool:
    """Whether a bare query by its id shows this client the row."""
    answer = http.get(f"/rest/v1/{table}", params={"id": f"eq.{row['id']}"})
    assert answer.status_code == 200, answer.text
    return bool(answer.json())


@contextmanager
def signed_in(backend: Backend, account: Account) -> Iterator[Person]:
    """A session of this account."""
    session = sign_in(backend.url, backend.anon_key, account.email, Secret(account.password))
    auth = SessionAuth(backend.url, backend.anon_key, session)
    headers = {
        "apikey": backend.anon_key,
        "Authorization": f"Bearer {session.access_token.reveal()}",
    }
    with (
        Gateway.of(backend.url, auth) as gateway,
        httpx.Client(base_url=backend.url, headers=headers, trust_env=False, timeout=30) as bare,
    ):
        yield Person(account, gateway, bare)


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[str], Backend]]:
    """Starts a backend on first use, and stops all of them at the end.

    A fixture with parameters is set up again when the parameter changes, twice a file;
    @supabase/lite takes seconds to start.
    """
    running: dict[str, Backend] = {}
    with ExitStack() as stack:

        def started(name: str) -> Backend:
            if name not in running:
                running[name] = stack.enter_context(BACKENDS[name]())
            return running[name]

        yield started


@pytest.fixture(scope="session", params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, start: Callable[[str], Backend]) -> Backend:
    """The deployed schema with our migration."""
    return start(request.param)


@pytest.fixture(scope="session")
def alice(backend: Backend) -> Iterator[Person]:
    with signed_in(backend, backend.alice) as person:
        yield person


@pytest.fixture(scope="session")
def bob(backend: Backend) -> Iterator[Person]:
    with signed_in(backend, backend.bob) as person:
        yield person


@pytest.fixture(scope="session")
def service(backend: Backend) -> Iterator[Gateway]:
    with Gateway.for_service(backend.url, Secret(backend.service_key)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def seed(backend: Backend) -> Iterator[Seed]:
    with Seed.of(backend) as rows:
        yield rows


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The first test on a backend waits for it to start; each step of that has its own deadline.
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(300))
