"""A file server of one's own, and worlds that download from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.transfers.file_server import Behaviour, FileServer, World, made_up

MakeWorld = Callable[..., World]


@pytest.fixture
def server() -> Iterator[FileServer]:
    """Serves two megabytes, as well as can be."""
    server = FileServer(Behaviour(content=made_up(2_000_000)))
    yield server
    server.close()


@pytest.fixture
def world(server: FileServer, tmp_path: Path) -> World:
    """Nothing is known of the file beforehand: only its bytes can tell."""
    return World(tmp_path / "world", server)


@pytest.fixture
def make_world(server: FileServer, tmp_path: Path) -> MakeWorld:
    """A world whose manifest tells size and checksum, unless told otherwise."""

    def make(**changes: Any) -> World:
        content = server.behaviour.content
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        return World(tmp_path / "world", server, **{**facts, **changes})

    return make
