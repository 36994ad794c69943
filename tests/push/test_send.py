"""The files of a push are sent several at once, and one that fails ends the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import CancelledError, TooLargeError
from lora_tui.harvest.artifact_rows import StoredFile
from lora_tui.harvest.spool import Spool
from lora_tui.push.directory import LocalFile
from lora_tui.push.send import send_files
from tests.waiting import until

FILES = [(LocalFile(Path(name), 1, name), f"u/a/{name}") for name in "abcd"]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[StoredFile]]:
    """`send_files` of FILES, with this in place of the storage."""

    def run(store_file: Callable[..., StoredFile], told: list[str]) -> list[StoredFile]:
        monkeypatch.setattr("lora_tui.push.send.store_file", store_file)
        nothing: Any = None
        return send_files(
            nothing,
            FILES,
            nothing,
            Path(),
            check=lambda: None,
            on_file=lambda file: told.append(file.name),
        )

    return run


def test_no_file_waits_for_the_one_before_it(send: Callable[..., list[StoredFile]]) -> None:
    together = threading.Barrier(len(FILES), timeout=10)

    def store_file(_sender: object, name: str, path: str, *_: object, **__: object) -> StoredFile:
        together.wait()
        return StoredFile(name, path, 1, name, True)

    told: list[str] = []
    assert [file.name for file in send(store_file, told)] == list("abcd")
    assert sorted(told) == list("abcd")


def test_the_error_of_a_file_is_that_of_the_push_and_ends_the_files_in_hand(
    send: Callable[..., list[StoredFile]],
) -> None:
    begun = threading.Barrier(len(FILES), timeout=10)

    def store_file(
        _sender: object, name: str, *_: object, check_stop: Callable[[], None], **__: object
    ) -> StoredFile:
        begun.wait()
        if name == "b":
            raise TooLargeError("too large")
        while True:
            check_stop()

    told: list[str] = []
    with pytest.raises(TooLargeError):
        send(store_file, told)
    assert told == []


def test_a_file_that_is_on_its_way_to_the_bucket_ends_too(
    send: Callable[..., list[StoredFile]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is in the spool at once: a long upload must not wait for its own end."""
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    file = LocalFile(tmp_path / "a", 3 << 20, "a")
    monkeypatch.setattr("tests.push.test_send.FILES", [(file, "u/a/a"), FILES[1]])
    begun = threading.Barrier(2, timeout=10)
    ends: list[BaseException] = []

    def store_file(
        _sender: object,
        name: str,
        _path: str,
        fill: Callable[[Spool], None],
        *,
        check_stop: Callable[[], None],
        **_: object,
    ) -> StoredFile:
        if name != "a":
            begun.wait()
            raise TooLargeError("too large")

        def is_stopped() -> bool:
            try:
                check_stop()
            except CancelledError:
                return True
            return False

        with Spool(tmp_path, check_stop=check_stop) as spool:
            fill(spool)
            upload = spool.read_from(0)
            next(upload)
            begun.wait()
            until(is_stopped)
            try:
                next(upload)
            except CancelledError as error:
                ends.append(error)
                raise
        return StoredFile(name, "", 1, name, True)

    with pytest.raises(TooLargeError):
        send(store_file, [])
    assert len(ends) == 1
