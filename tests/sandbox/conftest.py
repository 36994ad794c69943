"""Sandboxes for the tests: one that is only read, and small ones that a test may change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients


@pytest.fixture(scope="package")
def full() -> Iterator[Sandbox]:
    """All kinds of data, hostile ones too. Tests must not change it."""
    with Sandbox.start(hostile=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def readers(full: Sandbox) -> Iterator[tuple[Client, Client, Client, Client]]:
    with clients(full) as found:
        yield found


@pytest.fixture
def reader(readers: tuple[Client, Client, Client, Client]) -> Client:
    """The demo account on the default data."""
    return readers[0]


@pytest.fixture
def other_reader(readers: tuple[Client, Client, Client, Client]) -> Client:
    """The other account on the default data."""
    return readers[1]


@pytest.fixture
def service_reader(readers: tuple[Client, Client, Client, Client]) -> Client:
    """The service role on the default data."""
    return readers[2]


@pytest.fixture
def stranger(readers: tuple[Client, Client, Client, Client]) -> Client:
    """Nobody in particular, on the default data."""
    return readers[3]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Few rows, for one test alone."""
    with Sandbox.start(models=2, waiting_jobs=2) as running:
        yield running


@pytest.fixture
def everyone(sandbox: Sandbox) -> Iterator[tuple[Client, Client, Client, Client]]:
    with clients(sandbox) as found:
        yield found


@pytest.fixture
def user(everyone: tuple[Client, Client, Client, Client]) -> Client:
    """The demo account, on rows of the test's own."""
    return everyone[0]


@pytest.fixture
def service(everyone: tuple[Client, Client, Client, Client]) -> Client:
    """The service role, on rows of the test's own."""
    return everyone[2]
