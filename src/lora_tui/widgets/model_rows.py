"""The models of the list, as its views share them: read in pages, with one cursor and the marks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from lora_tui.cache.models import ModelSummary

_PAGE: Final = 64
_PAGES_KEPT: Final = 8

Fetch = Callable[[int, int], Sequence[ModelSummary]]
"""Offset and limit → the models of that window."""


class ModelRows:
    """A window of `fetch(offset, limit)`; a long list costs no more than what is looked at."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self.marked: set[str] = set()
        self.cursor = 0
        self.moved = False
        """Whether the cursor was ever put elsewhere by somebody, or anything marked."""
        self.total = 0
        self._current_id: str | None = None
        self._pages: OrderedDict[int, Sequence[ModelSummary]] = OrderedDict()
        self._anchor: int | None = None
        """Where the range that is being marked began."""
        self._marked_before: frozenset[str] = frozenset()

    @property
    def current(self) -> ModelSummary | None:
        """The model under the cursor."""
        return self.row(self.cursor)

    def row(self, index: int) -> ModelSummary | None:
        """The model at a place of the list; None where there is none (any more)."""
        if not 0 <= index < self.total:
            return None
        number, place = divmod(index, _PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = self.fetch(number * _PAGE, _PAGE)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page[place] if place < len(page) else None

    def move_to(self, index: int) -> None:
        """Put the cursor there, or on the nearest model that there is."""
        self._anchor = None
        self.moved = self.moved or index != self.cursor
        self._put_cursor(index)

    def toggle_mark(self) -> None:
        """Mark or unmark the model under the cursor."""
        self.moved = True
        if self.current is not None:
            self.marked ^= {self.current.id}

    def extend_to(self, index: int) -> None:
        """Move the cursor and mark all on the way; on the way back, unmark what was added."""
        if self._anchor is None:
            self._anchor, self._marked_before = self.cursor, frozenset(self.marked)
        left = self.cursor
        self.moved = True
        self._put_cursor(index)
        for place in range(min(left, self.cursor), max(left, self.cursor) + 1):
            row = self.row(place)
            if row is None:
                continue
            if min(self._anchor, self.cursor) <= place <= max(self._anchor, self.cursor):
                self.marked.add(row.id)
            elif row.id not in self._marked_before:
                self.marked.discard(row.id)

    def reload(self, total: int, locate: Callable[[str], int | None], *, at_top: bool) -> None:
        """The list has changed: forget what was read, and keep the cursor on its model.

        `locate` tells where a model stands now; it is asked only if the model has moved. Where it
        is gone the cursor stays at its place; with `at_top` it goes to the first model.
        """
        before = self._current_id
        self._pages.clear()
        self._anchor = None
        self.total = total
        place = min(self.cursor, max(0, total - 1))
        row = self.row(place)
        if before is not None and (row is None or row.id != before):
            found = locate(before)
            place = found if found is not None else 0 if at_top else place
        self._put_cursor(place)

    def _put_cursor(self, index: int) -> None:
        self.cursor = max(0, min(index, self.total - 1))
        self._current_id = self.current.id if self.current else None
