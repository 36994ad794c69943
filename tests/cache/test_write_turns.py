"""Threads write a cache in the order in which they ask."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import put_value
from lora_tui.cache.write_turns import WriteTurns, turns_at
from tests.pseudo_terminal import PATIENCE
from tests.waiting import until


def test_one_writer_does_not_keep_another_out_by_asking_again_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    open_cache(path).close()
    order: list[str] = []

    def write(db: sqlite3.Connection, name: str) -> None:
        with transaction(db, Topic.SYNC):
            put_value(db, name, name)
            order.append(name)

    def mark_as_read() -> None:
        with closing(open_cache(path)) as db:
            write(db, "mark")

    with closing(open_cache(path)) as db:
        thread = threading.Thread(target=mark_as_read)
        with transaction(db, Topic.SYNC):
            thread.start()
            until(lambda: turns_at(path).waiting == 1)
        for number in range(20):
            write(db, f"page {number}")
        thread.join(PATIENCE)
    assert order[0] == "mark"


def test_a_turn_that_never_comes_is_given_up() -> None:
    turns = WriteTurns()
    assert turns.take(0)
    assert not turns.take(0.01)
    turns.give()
    assert turns.take(0)


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = WriteTurns(), list[int]()
    turns.take(0)
    asked = [threading.Event() for _ in range(5)]

    def work(number: int) -> None:
        asked[number].set()
        assert turns.take(10)
        order.append(number)
        turns.give()

    threads = [threading.Thread(target=work, args=[number]) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        asked[number].wait(10)
        until(lambda waiting=number + 1: turns.waiting == waiting)
    turns.give()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]
