"""Fixtures: an empty sandbox, a signed-in account, and a cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.gateway.auth import SessionAuth, sign_in
from lora_tui.gateway.rest import Rest
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.backends.backend import Account, Backend, backend_of
from tests.backends.seed import Seed


@pytest.fixture
def empty_sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(models=0, waiting_jobs=0) as sandbox:
        yield sandbox


@pytest.fixture
def backend(empty_sandbox: Sandbox) -> Backend:
    return backend_of(empty_sandbox)


@pytest.fixture
def seed(backend: Backend) -> Iterator[Seed]:
    with Seed.of(backend) as rows:
        yield rows


@pytest.fixture
def rest(backend: Backend) -> Iterator[Rest]:
    with rest_of(backend, backend.alice) as rest:
        yield rest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def db(cache: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(cache)) as connection:
        yield connection


def rest_of(backend: Backend, account: Account) -> Rest:
    """The tables as this account sees them."""
    session = sign_in(backend.url, backend.anon_key, account.email, Secret(account.password))
    return Rest(backend.url, SessionAuth(backend.url, backend.anon_key, session))
