"""Reads whether notifications were read elsewhere, which changes no timestamp."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from lora_tui.cache import records
from lora_tui.cache.connection import transaction
from lora_tui.cache.remote_tables import Tally, changed_rows, remove_rows, row_id, write_rows
from lora_tui.domain import Row
from lora_tui.fetching.rows import RowReader
from lora_tui.gateway.paging import is_uuid

_MOST_UNREAD: Final = 240


def unread_ids(db: sqlite3.Connection) -> list[str]:
    """The ids of the newest notifications that are unread here."""
    return [i for i in records.unread_ids(db, _MOST_UNREAD) if is_uuid(i)]


def read_flags(reader: RowReader, ids: Sequence[str]) -> Iterator[list[Row]]:
    """Those of these notifications that still exist, as one step. Only reads."""
    yield reader.by_id(ids)


def write_flags(
    reader: RowReader, db: sqlite3.Connection, ids: Sequence[str], rows: Sequence[Row]
) -> None:
    """Write which of these notifications were read, and remove those that do not exist."""
    changed = changed_rows(db, reader.table, rows)
    present = {row_id(row) for row in rows}
    removed = [i for i in ids if i not in present]
    if changed or removed:
        with transaction(db, reader.table.topic):
            write_rows(db, reader.table, changed, Tally())
            remove_rows(db, reader.table, removed, Tally())
