"""Reads what has changed in a remote table since the last time, by (timestamp, id).

Two places in a table are remembered. `seen` is the last row that was read; everything beyond it is
read in whole rows, page by page, each page one transaction together with the new place. But a row
may also appear *before* that place: its transaction took longer than others that began later, or a
row with a time in the future was read first. So the stretch before it, from a while before the
smaller of `seen` and the server's own time of asking, is looked at again: ids and stamps only, and
rows whose stamp is new to us are fetched. All of these moments are the server's; what time it is
here does not matter. Where the server's own clock was set back by more than that while, rows may
have been dated anywhere: the whole table has to be compared (reconcile.py). So it has to where the
times lead nowhere: a server that stores them finer than it sends them gives the same rows again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from lora_tui.cache import metadata
from lora_tui.cache.connection import transaction
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row
from lora_tui.gateway.paging import Cursor, Page, RowLimit, next_cursor
from lora_tui.sync.ahead import pages
from lora_tui.sync.reader import Reader
from lora_tui.sync.tables import Table, row_id
from lora_tui.sync.writing import Tally, new_rows, remove, write

OVERLAP: Final = timedelta(minutes=5)
"""How much longer one transaction may take than another."""

WHOLE_COMPARISON: Final = "sync.reconciled"
"""The fact that says when all tables were compared last, by this machine's clock."""

Tell = Callable[[int], None]
"""Told how many rows of the table have been written so far."""


def pull(reader: Reader, db: sqlite3.Connection, table: Table, tell: Tell) -> Tally:
    """Bring one table up to the backend, but for what leaves no trace (see reconcile.py)."""
    tally = Tally()
    seen = _seen(db, table)
    asked = metadata.get_value(db, _asked(table))
    answered: datetime | None = None
    if seen is not None:
        answered = _look_again(reader, db, table, seen, asked, tally)
        tell(tally.written)
        before = parse_timestamp(asked)
        tally.set_back = bool(answered and before and answered < before - OVERLAP)

    def read(after: Cursor | None) -> Page:
        nonlocal answered
        page = reader.page(table, after)
        answered = answered or reader.rest.server_time
        return page

    def beyond(page: Page, after: Cursor | None) -> Cursor | None:
        return next_cursor(page.rows, table.key, after)

    bound = RowLimit(table.remote, lambda: reader.count(table))
    for page, after in pages(read, seen, beyond):
        with transaction(db, table.topic):
            write(db, table, new_rows(db, table, page.rows), tally)
            if after is not None:
                metadata.put_cursor(db, table.remote, after.updated_at, after.id)
            if asked is None and answered is not None:
                asked = timestamp_text(answered)
                metadata.put_value(db, _asked(table), asked)
        tally.unsure |= after is None and page.full
        tell(tally.written)
        bound.add(len(page.rows))
    if answered is not None:
        with transaction(db):
            metadata.put_value(db, _asked(table), timestamp_text(answered))
            if tally.set_back:  # noted together: a sync that ends here does not forget it
                metadata.put_value(db, WHOLE_COMPARISON, "")
    return tally


def fetch_new(
    reader: Reader, db: sqlite3.Connection, table: Table, stamps: Sequence[Row], tally: Tally
) -> None:
    """Fetch and write the rows of which these stamps say that they are new to the cache."""
    new = new_rows(db, table, stamps)
    hidden = [row_id(row) for row in new if table.is_hidden(row)]
    wanted = [row for row in new if not table.is_hidden(row)]
    rows = reader.by_id(table, wanted)
    if rows or hidden:
        with transaction(db, table.topic):
            write(db, table, rows, tally)
            remove(db, table, hidden, tally)


def _look_again(
    reader: Reader,
    db: sqlite3.Connection,
    table: Table,
    seen: Cursor,
    asked: str | None,
    tally: Tally,
) -> datetime | None:
    """The stretch before `seen`; returns the server's time of the first answer."""
    end = seen.place
    start = min(end[0], parse_timestamp(asked) or end[0])
    after = Cursor.at(timestamp_text(start - OVERLAP))
    answered: datetime | None = None
    bound = RowLimit(table.remote, lambda: reader.count(table))
    while True:
        page = reader.page(table, after, columns=table.stamp_columns)
        answered = answered or reader.rest.server_time
        if not page.rows:
            return answered
        places = [(row, Cursor.of(row, table.key)) for row in page.rows]
        before = [row for row, cursor in places if cursor is not None and cursor.place <= end]
        fetch_new(reader, db, table, before, tally)
        following = next_cursor(page.rows, table.key, after)
        if following is None:
            tally.unsure |= page.full
            return answered
        if any(cursor is not None and cursor.place > end for _, cursor in places):
            return answered
        if following.id == seen.id:
            return answered
        after = following
        bound.add(len(page.rows))


def _seen(db: sqlite3.Connection, table: Table) -> Cursor | None:
    """The cursor; one that can't be asked for (of another version of ours) is none."""
    found = metadata.get_cursor(db, table.remote)
    return None if found is None else Cursor.of({table.key: found[0], "id": found[1]}, table.key)


def _asked(table: Table) -> str:
    return f"sync.asked.{table.remote}"
