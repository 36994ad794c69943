"""Reads what was added to a table whose rows do not change, in one request if that is all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from lora_tui.cache import metadata
from lora_tui.cache.connection import transaction
from lora_tui.cache.remote_tables import Tally, changed_rows, write_rows
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.fetching.rows import OVERLAP, RowReader
from lora_tui.gateway.paging import Cursor, RowLimit, next_cursor


def pull_added(
    reader: RowReader, db: sqlite3.Connection, cursor: Cursor, on_rows: Callable[[int], None]
) -> Tally:
    """Write the rows from the last minutes before the cursor on, and advance the cursor.

    A long transaction commits rows that are dated before the cursor. Rows that were deleted are
    not noticed.
    """
    table, tally = reader.table, Tally()
    time_key = f"{metadata.SERVER_TIME}{table.remote}"
    end = cursor.place[0]
    start = min(end, parse_timestamp(metadata.get_value(db, time_key)) or end) - OVERLAP
    after, server_time = Cursor.at(timestamp_text(start)), None
    limit = RowLimit(table.remote, reader.count)
    while True:
        page = reader.page(after, counted=True)
        server_time = server_time or reader.rest.server_time
        following = next_cursor(page.rows, table.key, after)
        changed = changed_rows(db, table, page.rows)
        is_beyond = following is not None and following.is_beyond(cursor)
        if changed or is_beyond:
            with transaction(db, *([table.topic] if changed else [])):
                write_rows(db, table, changed, tally)
                if following is not None and is_beyond:
                    metadata.put_cursor(db, table.remote, following.updated_at, following.id)
        on_rows(tally.written)
        if following is None:
            tally.may_lack_rows = page.full
        if following is None or page.last:
            break
        limit.add(len(page.rows))
        after = following
    if server_time is not None:
        with transaction(db):
            metadata.put_value(db, time_key, timestamp_text(server_time))
    return tally
