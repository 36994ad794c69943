"""Asks for what is new in a table; in one request, if nothing is.

That request is for the ids and stamps of the rows that changed last, the newest first, and for the
number of all rows. If the list reaches back beyond the cursor and the overlap, it tells all:

- rows after the cursor: they are read whole, up to the newest one that was listed;
- rows before it that the cache has otherwise: they became visible late (sync.py says why);
- the number of all rows: another one than the cache has means that some are gone, or have old
  dates.

Where it does not reach so far, or its order can't be relied on, the overlap and the rows after the
cursor are read in the order of their change, page by page. This module only reads; sync.py writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from lora_tui.clock import timestamp_text
from lora_tui.fetching.rows import RowReader
from lora_tui.gateway.paging import Cursor, Page, RowLimit, next_cursor

NEWEST: Final = 25
"""How many rows are listed: some kilobytes, and seldom do more change within the overlap."""


@dataclass(frozen=True)
class Known:
    """What the cache has of a table before it is read."""

    cursor: Cursor | None
    """None: it was never read."""
    since: datetime
    """The beginning of the overlap."""
    rows: int
    """How many, those marked as deleted among them."""


class Part(NamedTuple):
    """What one answer told."""

    page: Page
    """Its `total` is the number of all rows of the table, where the answer has one."""
    whole: bool
    """Whether its rows are whole, beyond the cursor; else they are stamps of rows before it."""
    cursor: Cursor | None = None
    """The cursor after whole rows, to be stored together with them."""
    may_lack_rows: bool = False
    """Whether rows may follow that can't be read in this order."""


def read_new(reader: RowReader, known: Known) -> Iterator[Part]:
    """What changed in a table since it was last read; all of it where it never was.

    The first part is that of the first answer, also where it has no rows.
    """
    if known.cursor is None:
        yield from _pages(reader, None)
        return
    newest = reader.newest(NEWEST)
    reach = _Reach.of(newest, reader.table.key, known)
    if newest is not None:
        yield _stamps(newest, reader.table.key, known.cursor)
    if not reach.overlap:
        yield from _overlap(reader, known, known.cursor)
    if not reach.cursor or reach.beyond is not None:
        yield from _pages(reader, known.cursor, until=reach.beyond if reach.cursor else None)


@dataclass(frozen=True)
class _Reach:
    """How far the list of the newest rows goes back."""

    cursor: bool = False
    """To the cursor: all rows after it are listed."""
    overlap: bool = False
    """To the beginning of the overlap."""
    beyond: Cursor | None = None
    """The newest row, where it is after the cursor."""

    @classmethod
    def of(cls, newest: Page | None, key: str, known: Known) -> _Reach:
        if newest is None or known.cursor is None:
            return cls()
        places = [Cursor.of(row, key) for row in newest.rows]
        usable = [place for place in places if place is not None]
        in_order = all(later.is_beyond(earlier) for later, earlier in pairwise(usable))
        if not in_order or len(usable) < len(places):
            return cls()
        # a count alone is no proof, because it may be that of the page
        length = len(newest.rows) + newest.unreadable
        has_all = newest.total == length >= known.rows
        if not usable:
            return cls(has_all, has_all)
        return cls(
            cursor=has_all or not usable[-1].is_beyond(known.cursor),
            overlap=has_all or usable[-1].place[0] < known.since,
            beyond=usable[0] if usable[0].is_beyond(known.cursor) else None,
        )


def _overlap(reader: RowReader, known: Known, cursor: Cursor) -> Iterator[Part]:
    """The stamps of the rows between the beginning of the overlap and the cursor."""
    table = reader.table
    after = Cursor.at(timestamp_text(known.since))
    limit = RowLimit(table.remote, reader.count)
    while True:
        page = reader.page(after, columns=table.stamp_columns)
        following = next_cursor(page.rows, table.key, after)
        places = [Cursor.of(row, table.key) for row in page.rows]
        is_end = not page.rows or following is None or following.id == cursor.id
        lacks = bool(page.rows) and following is None and page.full
        yield _stamps(page, table.key, cursor)._replace(may_lack_rows=lacks)
        if is_end or any(place and place.is_beyond(cursor) for place in places):
            return
        after = following or after
        limit.add(len(page.rows))


def _pages(reader: RowReader, after: Cursor | None, until: Cursor | None = None) -> Iterator[Part]:
    """The whole rows after a cursor; up to `until`, whose place is known, or to the end."""
    limit = RowLimit(reader.table.remote, reader.count)
    while True:
        page = reader.page(after, counted=after is None)
        following = next_cursor(page.rows, reader.table.key, after)
        lacks = bool(page.rows) and following is None and page.full
        yield Part(page, True, following, lacks)
        if following is None or (until is not None and not until.is_beyond(following)):
            return
        after = following
        limit.add(len(page.rows))


def _stamps(page: Page, key: str, cursor: Cursor) -> Part:
    """Of a page of stamps those that are not beyond the cursor."""
    places = [(row, Cursor.of(row, key)) for row in page.rows]
    rows = [row for row, place in places if place and not place.is_beyond(cursor)]
    return Part(page._replace(rows=rows), whole=False)
