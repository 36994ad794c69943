"""A sandbox, and clients of the vendor's library for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest
from supabase import Client, ClientOptions, create_client

from lora_tui.sandbox import Sandbox
from tests.backends.backend import backend_of
from tests.backends.seed import Seed
from tests.contract.vendor.client import (
    Connect,
    sign_in,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(models=0, waiting_jobs=0) as running:
        yield running


@pytest.fixture(autouse=True)
def without_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.clear_faults()


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Connect]:
    """Makes a client with one of the project's keys, as its documentation does."""
    with httpx.Client(trust_env=False, timeout=30, verify=False) as http:

        def connected(key: str) -> Client:
            options = ClientOptions(auto_refresh_token=False, httpx_client=http)
            return create_client(sandbox.url, key, options)

        yield connected


@pytest.fixture
def anonymous(sandbox: Sandbox, connect: Connect) -> Client:
    return connect(sandbox.anon_key)


@pytest.fixture
def service(sandbox: Sandbox, connect: Connect) -> Client:
    return connect(sandbox.service_key)


@pytest.fixture
def user(sandbox: Sandbox, anonymous: Client) -> Client:
    """Signed in to the demo account."""
    sign_in(anonymous, sandbox)
    return anonymous


@pytest.fixture
def seed(sandbox: Sandbox) -> Iterator[Seed]:
    with Seed.of(backend_of(sandbox)) as rows:
        yield rows


@pytest.fixture
def folder(sandbox: Sandbox) -> str:
    """A new folder of the demo account."""
    return f"{sandbox.user_id}/{uuid.uuid4()}"
