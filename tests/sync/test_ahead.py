"""While a page is written the next one is on its way, and nothing is lost where that breaks."""

from __future__ import annotations

import threading

import pytest

from lora_tui.domain import Row
from lora_tui.errors import UnreachableError
from lora_tui.sync.ahead import pages

PATIENCE = 20
FIRST, SECOND = [{"id": "1"}], [{"id": "2"}]


def test_the_next_page_is_asked_for_before_this_one_is_done() -> None:
    asked = threading.Event()

    def read(row: Row) -> list[Row]:
        asked.set()
        return [*SECOND] if row["id"] == "1" else []

    seen = []
    for page in pages(FIRST, read):
        assert asked.wait(PATIENCE)
        asked.clear()
        seen.append(page)
    assert seen == [FIRST, SECOND]


def test_what_breaks_the_next_page_comes_after_this_one_was_used() -> None:
    def read(_row: Row) -> list[Row]:
        raise UnreachableError("The connection broke")

    read_ahead = pages(FIRST, read)
    assert next(read_ahead) == FIRST
    with pytest.raises(UnreachableError):
        next(read_ahead)


def test_an_empty_table_is_not_asked_for_more() -> None:
    def read(_row: Row) -> list[Row]:
        pytest.fail("there is no row to go on from")

    assert list(pages([], read)) == []
