"""Compares the cache with the whole remote table, by id: what left no trace in any timestamp.

Rows deleted for good, rows that went to another owner, rows written with a time of long ago. The
table is walked in the order of ids, so that rows that change meanwhile are met exactly once. Only
at the end of a whole walk is anything removed, and only what was in the cache, in the same state,
before it began: whoever writes while we walk loses nothing. And a walk counts as whole only where
each page got further in that order, or where as many rows were met as the server counts.
"""

from __future__ import annotations

import sqlite3
from itertools import pairwise

from lora_tui.cache import metadata
from lora_tui.cache.connection import transaction
from lora_tui.gateway.paging import Cursor, RowLimit, next_cursor, repeated_rows
from lora_tui.sync.pull import Tell, fetch_new
from lora_tui.sync.reader import Reader
from lora_tui.sync.tables import Table, row_id
from lora_tui.sync.writing import Tally, remove, write

_ROWS_A_TRANSACTION = 1000


def difference(reader: Reader, db: sqlite3.Connection, table: Table) -> int | None:
    """How many rows more the backend has than the cache, by one cheap request.

    None where it can't say: the daily comparison will do.
    """
    remote = reader.count(table)
    return None if remote is None else remote - table.count(db)


def is_explained(db: sqlite3.Connection, table: Table, missing: int | None) -> bool:
    """Whether a comparison has left just this difference: rows without an id, a wrong count."""
    return missing is None or str(missing) == (metadata.get_value(db, _left(table)) or "0")


def reconcile(
    reader: Reader, db: sqlite3.Connection, table: Table, tell: Tell, *, rewrite: bool = False
) -> Tally:
    """Make the cached table equal to the remote one.

    Reads ids and stamps, and the rows whose stamps differ; with `rewrite` all rows, whatever the
    cache has. Raises BackendError, after having written what came, where the server gives the
    same rows again and again.
    """
    tally = Tally()
    before = table.known(db)
    met: set[str] = set()
    hidden: set[str] = set()
    after: Cursor | None = None
    columns = "*" if rewrite else table.stamp_columns
    bound = RowLimit(table.remote, lambda: reader.count(table, deleted=True))
    ordered, stuck = True, False
    while True:
        page = reader.page(table, after, key="id", columns=columns)
        if not page.rows:
            break
        if rewrite:
            with transaction(db, table.topic):
                write(db, table, page.rows, tally)
        else:
            fetch_new(reader, db, table, page.rows, tally)
            tally.unreadable += sum(not row_id(row) for row in page.rows)
        ids = [row_id(row) for row in page.rows if row_id(row)]
        fresh = not met.issuperset(ids)
        met.update(ids)
        hidden.update(row_id(row) for row in page.rows if table.is_hidden(row))
        tell(tally.written)
        ascending = [after.id if after else "", *ids]
        ordered &= all(one < two for one, two in pairwise(ascending))
        following = next_cursor(page.rows, "id", None)
        if following is None or not fresh:
            stuck = True
            break
        after = following
        bound.add(len(page.rows))
    if not ordered or stuck:
        counted = reader.count(table, deleted=True)
        if counted is None or counted > len(met) + tally.unreadable:
            if stuck:
                raise repeated_rows(table.remote)
            return tally  # nothing is removed for not having been met
    living = met - hidden
    gone = [row for row in before if row not in living]
    for start in range(0, len(gone), _ROWS_A_TRANSACTION):
        some = gone[start : start + _ROWS_A_TRANSACTION]
        with transaction(db, table.topic):
            now = table.known(db, some)
            remove(db, table, [row for row in some if now.get(row) == before[row]], tally)
    left = difference(reader, db, table)
    with transaction(db):
        metadata.put_value(db, _left(table), str(left) if left else None)
    return tally


def _left(table: Table) -> str:
    return f"sync.left.{table.remote}"
