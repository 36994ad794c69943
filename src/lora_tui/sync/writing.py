"""Writes rows of the backend into the cache; an invalid row does not affect the others."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.domain import Row
from lora_tui.sync.tables import Table, row_id

_log: Final = logging.getLogger("lora_tui.sync")
_ODD: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What a value that nobody thought of can raise; not what SQLite says of the file or the disk."""


@dataclass
class Tally:
    """Rows of one table."""

    written: int = 0
    removed: int = 0
    unreadable: int = 0
    """Rows that can't be shown at all: without an id, or not JSON objects."""
    set_back: bool = False
    """Whether the server's clock was, since the last time."""
    unsure: bool = False
    """Whether rows may have been missed: only a comparison by ids can tell."""


def write(db: sqlite3.Connection, table: Table, rows: Sequence[Row], tally: Tally) -> None:
    """Put rows into the cache, or take them out of it. Call inside a transaction."""
    kept = [row for row in rows if row_id(row)]
    tally.unreadable += len(rows) - len(kept)
    shown = [row for row in kept if not table.is_hidden(row)]
    if not _is_put(db, table, shown):
        for row in shown:
            if not _is_put(db, table, [row]) and not _is_put(db, table, [table.bare(row)]):
                tally.unreadable += 1
    tally.written += len(shown)
    remove(db, table, [row_id(row) for row in kept if table.is_hidden(row)], tally)


def remove(db: sqlite3.Connection, table: Table, ids: Sequence[str], tally: Tally) -> None:
    """Take those of these rows that are there out of the cache. Call inside a transaction."""
    there = list(table.known(db, ids)) if ids else []
    if there:
        table.remove(db, there)
        tally.removed += len(there)


def new_rows(db: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Those that the cache does not have in this state; hidden ones that it still has."""
    known = table.known(db, [row_id(row) for row in rows])
    return [dict(row) for row in rows if _is_new(table, row, known.get(row_id(row)))]


def _is_new(table: Table, row: Row, stamp: str | None) -> bool:
    """`stamp` is what the cache has of it."""
    if table.is_hidden(row):
        return stamp is not None
    return stamp is None or stamp != table.stamp(row)


def _is_put(db: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> bool:
    """Whether all of them could be; otherwise none of them is."""
    db.execute("SAVEPOINT some_rows")
    try:
        table.put(db, rows)
    except _ODD as error:
        db.execute("ROLLBACK TO some_rows")
        db.execute("RELEASE some_rows")
        _log.warning("%s: a row could not be kept as it is: %s", table.remote, type(error).__name__)
        return False
    db.execute("RELEASE some_rows")
    return True
