"""The next page is requested while one is processed, and errors lose nothing."""

from __future__ import annotations

import threading

import pytest

from lora_tui.errors import UnreachableError
from lora_tui.fetching.rows import prefetch_pages
from lora_tui.gateway.paging import Cursor, Page, next_cursor

PATIENCE = 60
ONE, TWO = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
FIRST, SECOND = Page([{"id": ONE}], full=True), Page([{"id": TWO}], full=True)
NONE = Page([], full=False)


def beyond(page: Page, after: Cursor | None) -> Cursor | None:
    return next_cursor(page.rows, "id", after)


def test_the_next_page_is_requested_while_this_one_is_processed() -> None:
    asked = threading.Event()

    def read(after: Cursor | None) -> Page:
        if after is None:
            return FIRST
        asked.set()
        return SECOND if after.id == ONE else NONE

    seen = []
    for page, _ in prefetch_pages(read, None, beyond):
        assert asked.wait(PATIENCE)
        asked.clear()
        seen.append(page)
    assert seen == [FIRST, SECOND]


def test_an_error_of_the_next_page_is_raised_after_this_one_was_used() -> None:
    def read(after: Cursor | None) -> Page:
        if after is None:
            return FIRST
        raise UnreachableError("The connection broke")

    read_ahead = prefetch_pages(read, None, beyond)
    assert next(read_ahead) == (FIRST, Cursor(ONE, ONE))
    with pytest.raises(UnreachableError):
        next(read_ahead)


def test_nothing_is_requested_after_an_empty_page_or_one_that_does_not_advance() -> None:
    asked: list[Cursor | None] = []

    def repeats(after: Cursor | None) -> Page:
        asked.append(after)
        return FIRST

    assert list(prefetch_pages(lambda _after: NONE, None, beyond)) == []
    assert list(prefetch_pages(repeats, None, beyond)) == [(FIRST, Cursor(ONE, ONE)), (FIRST, None)]
    assert asked == [None, Cursor(ONE, ONE)]
