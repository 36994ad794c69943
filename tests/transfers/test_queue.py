"""The queue survives whoever works it off, and does what its keys say."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache import transfer_queue
from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.transfer_queue import FileRequest, Transfer, TransferState
from lora_tui.errors import (
    BackendError,
    CacheError,
    CancelledError,
    DiskError,
    IntegrityError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.processes import is_identity
from lora_tui.transfers import runner as transfers_runner
from lora_tui.transfers.control import Control, control
from lora_tui.transfers.download import download
from lora_tui.transfers.part import part_of
from lora_tui.transfers.queue_owner import QueueOwner
from lora_tui.transfers.runner import Runner
from tests.transfers.file_server import MODEL, FileServer, World
from tests.waiting import until

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def runner(world: World) -> Iterator[Runner]:
    runner = Runner(world.cache_path, world.tools())
    yield runner
    runner.close()


def put(world: World, *names: str) -> list[int]:
    wanted = [FileRequest(name, f"a/b/{name}", world.directory / name, None) for name in names]
    with world.cache() as db, transaction(db, Topic.TRANSFERS):
        return queue.enqueue(db, MODEL, wanted)


def do(world: World, what: Control, *ids: int) -> None:
    with world.cache() as db:
        control(db, what, ids)


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def rows(world: World) -> list[Transfer]:
    with world.cache() as db:
        return transfer_queue.queue_of(db)


@pytest.mark.parametrize(
    ("what", "state"),
    [(Control.PAUSE, TransferState.PAUSED), (Control.CANCEL, TransferState.CANCELLED)],
)
def test_a_file_that_is_stopped_while_it_runs_goes_on_from_there(
    world: World, server: FileServer, runner: Runner, what: Control, state: TransferState
) -> None:
    server.behaviour.rate, server.behaviour.hold_at = 1_000_000, 400_000
    (number,) = put(world, "weights.bin")
    runner.start()
    until(lambda: rows(world)[0].bytes_done > 100_000)
    do(world, what, number)
    until(lambda: server.open_now == 0)
    assert rows(world)[0].state is state
    assert not world.target.exists()
    sent = server.sent
    server.behaviour.rate = server.behaviour.hold_at = None
    do(world, Control.RESUME, number)
    runner.start()
    until(lambda: rows(world)[0].state is TransferState.DONE)
    assert world.target.read_bytes() == server.behaviour.content
    assert server.sent - sent < len(server.behaviour.content)


def test_a_download_whose_directory_is_gone_fails_at_once_and_not_after_its_last_byte(
    world: World, server: FileServer, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.fetch_bytes.NOTE_SECONDS", 0.05)
    server.behaviour.rate, server.behaviour.hold_at = 1_000_000, 400_000
    put(world, "weights.bin")
    runner.start()
    until(lambda: rows(world)[0].bytes_done > 100_000)
    world.directory.rename(world.home / "moved")
    until(lambda: rows(world)[0].state is TransferState.FAILED)
    assert rows(world)[0].error == "The model's directory was replaced during the download"
    until(lambda: server.open_now == 0)


def test_a_call_that_waits_for_a_paused_file_is_told(world: World, server: FileServer) -> None:
    server.behaviour.rate, server.behaviour.hold_at = 500_000, 500_000

    def pause(row: Transfer) -> None:
        if row.bytes_done:
            do(world, Control.PAUSE, row.id)

    with pytest.raises(CancelledError, match="paused"):
        world.download(on_change=pause)


def test_quitting_leaves_a_file_queued_and_the_next_start_goes_on_with_it(
    world: World, server: FileServer
) -> None:
    server.behaviour.rate, server.behaviour.hold_at = 1_000_000, 400_000
    put(world, "weights.bin")
    first = Runner(world.cache_path, world.tools())
    first.start()
    until(lambda: rows(world)[0].bytes_done > 100_000)
    first.close()
    assert rows(world)[0].state is TransferState.QUEUED
    server.behaviour.rate = server.behaviour.hold_at = None
    sent = server.sent
    second = Runner(world.cache_path, world.tools())
    second.recover()
    second.start()
    until(lambda: rows(world)[0].state is TransferState.DONE)
    second.close()
    assert world.target.read_bytes() == server.behaviour.content
    assert server.sent - sent < len(server.behaviour.content)


def test_files_of_a_dead_process_are_queued_again_and_those_of_a_living_one_are_not(
    world: World,
) -> None:
    put(world, "a", "b")
    living, dead = QueueOwner(world.cache_path), QueueOwner(world.cache_path)
    with world.cache() as db, transaction(db):
        assert queue.claim(db, living.token) is not None
        assert queue.claim(db, dead.token) is not None
    dead.close()
    runner = Runner(world.cache_path, world.tools())
    runner.recover()
    assert [row.state for row in rows(world)] == [TransferState.RUNNING, TransferState.QUEUED]
    living.close()
    runner.close()


def test_the_owner_of_a_file_is_named_like_every_process(world: World) -> None:
    owner = QueueOwner(world.cache_path)
    assert is_identity(owner.token)
    assert owner.process_of(owner.token).pid == os.getpid()
    assert owner.process_of("a-host/77/x").pid == 77
    assert owner.process_of("77-0123abcd").pid == 77, "the name of an earlier version"
    owner.close()


def test_a_running_application_takes_over_what_another_process_left(
    world: World, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.runner.WATCH_SECONDS", 0.05)
    runner.start()
    put(world, "weights.bin")
    dead = QueueOwner(world.cache_path)
    with world.cache() as db, transaction(db):
        queue.claim(db, dead.token)
    dead.close()
    until(lambda: rows(world)[0].state is TransferState.DONE)


def test_a_download_takes_over_a_file_whose_process_dies_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.runner.WATCH_SECONDS", 0.05)
    put(world, "weights.bin")
    other = QueueOwner(world.cache_path)
    with world.cache() as db, transaction(db):
        queue.claim(db, other.token)
    dies = iter([other.close])
    done = world.download(on_change=lambda _row: next(dies, lambda: None)()).done
    assert done == ("weights.bin",)


def test_a_file_goes_on_once_a_full_disk_takes_the_cache_s_writes_again(
    world: World, server: FileServer, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.runner.WATCH_SECONDS", 0.05)
    server.behaviour.rate, server.behaviour.hold_at = 1_000_000, 400_000
    full = threading.Event()
    refused: list[int] = []

    def transaction_on(db: Any, *topics: Topic) -> Any:
        if full.is_set():
            refused.append(1)
            raise DiskError("The disk is full: the cache can't be written")
        return transaction(db, *topics)

    monkeypatch.setattr("lora_tui.transfers.runner.transaction", transaction_on)
    put(world, "weights.bin")
    runner.start()
    until(lambda: rows(world)[0].bytes_done > 0)
    full.set()
    server.behaviour.hold_at = None
    # progress, failure and release: the worker has ended then
    until(lambda: len(refused) >= 3 and server.open_now == 0)
    full.clear()
    server.behaviour.rate = None
    until(lambda: rows(world)[0].state is TransferState.DONE)


def test_a_model_whose_files_are_done_counts_as_downloaded_after_any_crash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise CacheError("The cache is held by another process")

    with monkeypatch.context() as patch:
        patch.setattr("lora_tui.transfers.runner.put_downloaded", cut_off)
        with pytest.raises(CacheError):
            world.download()
    assert world.row().state is TransferState.FAILED
    world.download()
    with world.cache() as db:
        assert downloaded_to(db, MODEL) == world.directory


def test_files_come_in_the_order_of_the_queue(world: World, runner: Runner) -> None:
    ids = put(world, "a", "b", "c")
    do(world, Control.UP, ids[2])
    do(world, Control.UP, ids[2])
    do(world, Control.DOWN, ids[0])
    assert [row.file for row in rows(world)] == ["c", "b", "a"]
    with world.cache() as db:
        for expected in ("c", "b", "a"):
            with transaction(db):
                row = queue.claim(db, "me")
            assert row is not None
            assert row.file == expected


def test_no_more_files_than_allowed_are_fetched_at_once(world: World, server: FileServer) -> None:
    server.behaviour.rate = 4_000_000
    put(world, *(f"file-{number}" for number in range(5)))
    runner = Runner(world.cache_path, world.tools(files_at_once=2, connections=1))
    runner.start()
    until(lambda: all(row.state is TransferState.DONE for row in rows(world)))
    runner.close()
    assert server.most_open == 2


def test_a_download_of_one_model_leaves_the_rest_of_the_queue_alone(
    world: World, server: FileServer
) -> None:
    (other,) = put(world, "other")
    world.download()
    states = {row.file: row.state for row in rows(world)}
    assert states == {"weights.bin": TransferState.DONE, "other": TransferState.QUEUED}
    assert rows(world)[0].id == other


def test_removing_a_file_from_the_list_removes_its_partial_file(
    world: World, server: FileServer
) -> None:
    server.behaviour.drop = lambda: 400_000 if server.drops == 0 else 0
    with pytest.raises(UnreachableError):
        world.download()
    assert part_of(world.target).exists()
    do(world, Control.FORGET, rows(world)[0].id)
    assert rows(world) == []
    assert list(world.directory.iterdir()) == []


def test_forgetting_a_finished_file_keeps_it_on_the_disk(world: World) -> None:
    world.download()
    do(world, Control.FORGET, rows(world)[0].id)
    assert world.target.exists()


def test_retries_are_counted_where_the_user_sees_them(world: World, server: FileServer) -> None:
    server.behaviour.drop = lambda: 600_000 if server.drops < 3 else None
    world.download()
    assert world.row().attempts == 3


def test_an_object_that_can_never_be_signed_fails_with_its_own_error(world: World) -> None:
    def sign(_path: str) -> str:
        raise BackendError("Could not sign: the server refuses (400)")

    with pytest.raises(BackendError, match="refuses"):
        world.download(sign=sign)
    assert world.row().error_kind == "BackendError"


def test_a_failure_in_another_process_keeps_its_kind(world: World, runner: Runner) -> None:
    (number,) = put(world, "weights.bin")
    with world.cache() as db, transaction(db):
        queue.claim(db, "another")
        queue.report(
            db,
            number,
            "another",
            TransferState.FAILED,
            error="The checksum is wrong",
            error_kind="IntegrityError",
        )
        queue.release(db, number, "another")
    assert isinstance(runner.error_of(rows(world)[0]), IntegrityError)


def test_hostile_names_stay_inside_the_directory_and_apart(
    server: FileServer, tmp_path: Path
) -> None:
    names = ["../../escape", "CON", "a/b.json", "B.JSON", "lora-tui.json", "x.part", ".hidden"]
    for number, name in enumerate(names):
        if name.lower().endswith(".json"):
            server.behaviour.content = b"{}"
        world = World(tmp_path / str(number), server, name=name)
        outcome = world.download()
        assert outcome.done == (name,)
        (found,) = [
            path
            for path in world.home.rglob("*")
            if path.is_file() and path.parent == world.directory and path.name != "lora-tui.json"
        ]
        assert found.read_bytes() == server.behaviour.content
        assert not found.name.startswith(".")
        assert found.name.lower() not in ("con", "x.part")


def test_a_model_that_left_the_cache_meanwhile_fails_clearly(world: World, runner: Runner) -> None:
    (number,) = put(world, "weights.bin")
    with world.cache() as db, transaction(db):
        db.execute("DELETE FROM models")
    runner.start()
    until(lambda: rows(world)[0].state is TransferState.FAILED)
    assert isinstance(runner.error_of(rows(world)[0]), NotFoundError)
    assert rows(world)[0].id == number


def test_calls_that_wait_behind_another_file_hold_no_connection_each(
    world: World, server: FileServer, runner: Runner
) -> None:
    """A thousand marked models wait at once; each held two descriptors of 1,024."""
    server.behaviour.rate = server.behaviour.hold_at = 100_000
    first, *others = put(world, "weights.bin", *(f"file-{number}" for number in range(40)))
    runner.start([first])
    until(lambda: rows(world)[0].bytes_done > 0)
    looked: set[int] = set()

    def wait(number: int) -> None:
        with suppress(CancelledError):
            runner.wait_for([number], lambda row: looked.add(row.id))

    before = open_descriptors()
    waits = [threading.Thread(target=wait, args=(number,)) for number in others]
    for thread in waits:
        thread.start()
    until(lambda: looked == set(others))
    held = open_descriptors() - before
    runner.close()
    for thread in waits:
        thread.join()
    assert held < len(others) // 2, "one connection looks for all; others are of the transfer"


def test_downloads_that_are_asked_for_at_once_take_turns_at_the_cache(
    world: World, server: FileServer, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand opened it at once; SQLite keeps the descriptors while any connection is open."""
    server.behaviour.rate = server.behaviour.hold_at = 100_000
    (first,) = put(world, "other.bin")
    runner.start([first])
    until(lambda: rows(world)[0].bytes_done > 0)
    open_now, most = [0], [0]

    def count_open(*arguments: Any) -> Any:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        opened = open_cache(*arguments)
        open_now[0] -= 1
        return opened

    def ask() -> None:
        with suppress(CancelledError):
            download(runner, world.model(), world.directory)

    monkeypatch.setattr(transfers_runner, "open_cache", count_open)
    asks = [threading.Thread(target=ask) for _ in range(30)]
    for thread in asks:
        thread.start()
    until(lambda: len(rows(world)) == 2)
    runner.close()
    for thread in asks:
        thread.join()
    assert most[0] <= 8, "some for short blocks, one that looks, and those of the workers"


def test_a_worker_that_can_not_go_on_is_told_to_every_call_that_waits(
    world: World, server: FileServer, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behaviour.rate = server.behaviour.hold_at = 100_000
    ids = put(world, "weights.bin", "config.json")
    runner.start(ids[:1])
    until(lambda: rows(world)[0].bytes_done > 0)
    waiting = threading.Semaphore(0)
    told: list[str] = []

    def wait(number: int) -> None:
        try:
            runner.wait_for([number], lambda _: waiting.release())
        except LoraTuiError as error:
            told.append(str(error))

    threads = [threading.Thread(target=wait, args=(number,)) for number in ids]
    for thread in threads:
        thread.start()
        waiting.acquire()

    def refuse(*_: object) -> None:
        raise CacheError("The cache can't be written")

    monkeypatch.setattr("lora_tui.transfers.runner.transaction", refuse)
    server.behaviour.rate = server.behaviour.hold_at = None
    for thread in threads:
        thread.join()
    assert told == ["The cache can't be written"] * 2
