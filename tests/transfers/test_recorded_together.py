"""Small files that arrive at about the same time: one record of the directory for all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache.transfer_queue import Checked
from lora_tui.errors import DiskError
from lora_tui.locks.file_lock import locked_directory
from lora_tui.transfers import model_directory
from lora_tui.transfers.model_directory import MANIFEST, read_record, record_file
from tests.transfers.file_server import World
from tests.waiting import until

NAMES = tuple(f"file_{number}.json" for number in range(8))


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The records that were written."""
    written: list[str] = []
    write_file = model_directory.write_file

    def count(path: Path, text: str, **options: Any) -> None:
        written.append(text)
        write_file(path, text, **options)

    monkeypatch.setattr(model_directory, "write_file", count)
    return written


def record(world: World, name: str, **changes: Any) -> None:
    facts: dict[str, Any] = {"sha256": "0", "size": 1, "remote_name": name, "etag": None}
    place = (world.directory / name).touch
    arguments = {**facts, "checked": Checked.LENGTH, "place": place, **changes}
    record_file(world.directory, world.model(), name, **arguments)


AllAtOnce = Callable[[dict[str, dict[str, Any]]], dict[str, Future[None]]]


@pytest.fixture
def all_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> AllAtOnce:
    """Records all files while another holds the directory, which it gives up when all wait."""
    waiting: list[Path] = []

    def lock(directory: Path) -> AbstractContextManager[None]:
        waiting.append(directory)
        return locked_directory(directory)

    def act(changed: dict[str, dict[str, Any]]) -> dict[str, Future[None]]:
        monkeypatch.setattr(model_directory, "locked_directory", lock)
        world.directory.mkdir(parents=True)
        with ThreadPoolExecutor(len(NAMES)) as pool, locked_directory(world.directory):
            found = {
                name: pool.submit(record, world, name, **changed.get(name, {})) for name in NAMES
            }
            until(lambda: len(waiting) == len(NAMES))
        return found

    return act


def test_files_that_wait_for_the_directory_are_recorded_by_one_write(
    world: World, all_at_once: AllAtOnce, writes: list[str]
) -> None:
    for one in all_at_once({}).values():
        one.result()
    assert len(writes) == 1
    assert set(read_record(world.directory)["files"]) == set(NAMES)
    assert {path.name for path in world.directory.iterdir()} == {*NAMES, MANIFEST}


def test_no_file_has_its_name_before_the_record_tells_of_it(
    world: World, all_at_once: AllAtOnce
) -> None:
    def place(name: str) -> Callable[[], None]:
        def look() -> None:
            assert name in read_record(world.directory)["files"]
            (world.directory / name).touch()

        return look

    for one in all_at_once({name: {"place": place(name)} for name in NAMES}).values():
        one.result()


@pytest.mark.parametrize("step", ["check", "place"])
def test_a_file_that_can_not_be_placed_is_no_error_of_those_recorded_with_it(
    world: World, all_at_once: AllAtOnce, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise DiskError("This one not")

    found = all_at_once({NAMES[3]: {step: refuse}})
    with pytest.raises(DiskError, match="This one not"):
        found.pop(NAMES[3]).result()
    for name, one in found.items():
        one.result()
        assert (world.directory / name).exists()
    assert not (world.directory / NAMES[3]).exists()


def test_a_record_that_can_not_be_written_is_the_error_of_every_file(
    world: World, all_at_once: AllAtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(model_directory, "write_file", full)
        found = all_at_once({})
    for name, one in found.items():
        with pytest.raises(DiskError):
            one.result()
        assert not (world.directory / name).exists()
    record(world, NAMES[0])  # none of them waits any longer
    assert set(read_record(world.directory)["files"]) == {NAMES[0]}
