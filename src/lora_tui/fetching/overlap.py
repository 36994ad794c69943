"""Reads the rows again that may have become visible after the sync has passed their place."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from lora_tui.cache.connection import transaction
from lora_tui.cache.remote_tables import Tally, changed_rows, remove_rows, row_id, write_rows
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row
from lora_tui.fetching.rows import OVERLAP, RowReader
from lora_tui.gateway.paging import Cursor, RowLimit, next_cursor


def reread_overlap(
    reader: RowReader, db: sqlite3.Connection, cursor: Cursor, last_time: str | None, tally: Tally
) -> datetime | None:
    """Fetch what changed in the last minutes before the cursor; returns the server's time."""
    table, end = reader.table, cursor.place
    start = min(end[0], parse_timestamp(last_time) or end[0]) - OVERLAP
    after = Cursor.at(timestamp_text(start))
    server_time: datetime | None = None
    limit = RowLimit(table.remote, reader.count)
    while True:
        page = reader.page(after, columns=table.stamp_columns)
        server_time = server_time or reader.rest.server_time
        if not page.rows:
            return server_time
        found = [(row, Cursor.of(row, table.key)) for row in page.rows]
        fetch_changed(reader, db, [row for row, at in found if at and at.place <= end], tally)
        following = next_cursor(page.rows, table.key, after)
        if following is None:
            tally.may_lack_rows |= page.full
            return server_time
        if following.id == cursor.id or any(at and at.place > end for _, at in found):
            return server_time
        after = following
        limit.add(len(page.rows))


def fetch_changed(
    reader: RowReader, db: sqlite3.Connection, stamps: Sequence[Row], tally: Tally
) -> None:
    """Fetch and write the rows whose stamps differ from those in the cache."""
    table = reader.table
    changed = changed_rows(db, table, stamps)
    rows = reader.by_id([row.get("id") for row in changed])
    there = {row_id(row) for row in rows}
    gone = [row_id(row) for row in changed if table.is_hidden(row) and row_id(row) not in there]
    if rows or gone:
        with transaction(db, table.topic):
            write_rows(db, table, rows, tally)
            remove_rows(db, table, gone, tally)
