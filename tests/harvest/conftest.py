"""Each test has a sandbox of its own; nobody waits between attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from httpx_retries import Retry

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
