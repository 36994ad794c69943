"""Reads whether notifications were read elsewhere, which changes no timestamp."""

from __future__ import annotations

import sqlite3
from typing import Final

from lora_tui.cache import records
from lora_tui.cache.connection import transaction
from lora_tui.cache.remote_tables import Tally, changed_rows, remove_rows, row_id, write_rows
from lora_tui.fetching.rows import RowReader
from lora_tui.gateway.paging import is_uuid

_MOST_UNREAD: Final = 240


def refresh_read_flags(reader: RowReader, db: sqlite3.Connection) -> None:
    """Fetch the unread notifications by id."""
    ids = [i for i in records.unread_ids(db, _MOST_UNREAD) if is_uuid(i)]
    rows = reader.by_id(ids)
    changed = changed_rows(db, reader.table, rows)
    present = {row_id(row) for row in rows}
    removed = [i for i in ids if i not in present]
    if changed or removed:
        with transaction(db, reader.table.topic):
            write_rows(db, reader.table, changed, Tally())
            remove_rows(db, reader.table, removed, Tally())
