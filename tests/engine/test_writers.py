"""What a screen asks for reaches the network only where it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.engine.writers import Writers
from lora_tui.errors import AuthenticationError, UnreachableError
from tests.tui.library import FakeWriters


def make(tmp_path: Path, connect: Any = None) -> Writers:
    return Writers(tmp_path / "cache.sqlite3", tmp_path / "downloads", connect=connect)


def unreachable() -> Any:
    raise AuthenticationError("Nobody is signed in")


def test_the_first_call_that_needs_the_network_connects_and_later_ones_do_not(
    tmp_path: Path,
) -> None:
    made: list[FakeWriters] = []

    def connect() -> Any:
        made.append(FakeWriters())
        return made[-1]

    writers = make(tmp_path, connect)
    assert not made
    writers.sync()
    writers.load_curve("job")
    assert len(made) == 1
    assert made[0].asked == [("sync",), ("load_curve", "job")]


def test_after_a_login_that_failed_the_next_call_tries_again(tmp_path: Path) -> None:
    outcomes: list[Any] = [AuthenticationError("The keyring is locked"), FakeWriters()]

    def connect() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    writers = make(tmp_path, connect)
    with pytest.raises(AuthenticationError):
        writers.sync()
    writers.sync()
    assert not outcomes


def test_closed_writers_neither_connect_nor_make_a_cache(tmp_path: Path) -> None:
    writers = make(tmp_path, unreachable)
    writers.close()
    for call in (writers.sync, writers.check_downloads, lambda: writers.cancel_download("model")):
        with pytest.raises(UnreachableError):
            call()
    assert not writers.cache_path.exists()


@pytest.mark.parametrize("connect", [None, unreachable])
def test_what_needs_no_network_works_offline_and_without_a_session(
    tmp_path: Path, connect: Any
) -> None:
    writers = make(tmp_path, connect)
    open_cache(writers.cache_path).close()
    path = writers.save_text("comparison.md", "text")
    assert path.read_text() == "text"
    assert writers.save_text("comparison.md", "other") != path
    writers.check_downloads()
    writers.cancel_download("model")


def test_offline_what_needs_the_network_says_so(tmp_path: Path) -> None:
    writers = make(tmp_path)
    with pytest.raises(UnreachableError, match="--offline"):
        writers.sync()
    writers.resume_downloads()
