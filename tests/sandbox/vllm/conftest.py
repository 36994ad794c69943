"""A stand-in for the tests of one module, and folders of adapters for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.sandbox.vllm import VllmStandIn
from tests.serving.adapter_folders import matrices, write_adapter
from tests.serving.vllm_contract import Server

BASE = "tiny-random-llama"


def server_of(stand_in: VllmStandIn) -> Server:
    return Server(stand_in.url, BASE, stand_in.settings.key)


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """One stand-in for all tests that leave it as it was."""
    with VllmStandIn.start() as stand_in:
        yield server_of(stand_in)


@pytest.fixture
def stand_in() -> Iterator[VllmStandIn]:
    """One for a test alone."""
    with VllmStandIn.start() as running:
        yield running


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """An adapter with an effect."""
    return write_adapter(tmp_path / "good")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another adapter with an effect."""
    return write_adapter(tmp_path / "other", matrices(1))


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """An adapter that the engine refuses."""
    return write_adapter(tmp_path / "refused", r=64)
