"""Compares the cache with the whole remote table, by id: what left no trace in any timestamp.

Rows deleted for good, rows that went to another owner, rows written with a time of long ago. The
table is walked in the order of ids, so that rows that change meanwhile are met exactly once. Only
at the end of a whole walk is anything removed, and only what was in the cache, in the same state,
before it began: whoever writes while we walk loses nothing.
"""

from __future__ import annotations

import sqlite3

from lora_tui.cache.connection import transaction
from lora_tui.gateway.rest import Mark, Rest
from lora_tui.sync.pull import Tally, Tell, fetch_new, remove, write
from lora_tui.sync.tables import Table, row_id


def counts_differ(rest: Rest, db: sqlite3.Connection, user_id: str, table: Table) -> bool:
    """Whether the backend has more or fewer rows than the cache; one cheap request."""
    remote = rest.count(table.remote, user_id, deleted=not table.hides_deleted)
    return remote != table.count(db)


def reconcile(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    table: Table,
    tell: Tell,
    *,
    rewrite: bool = False,
) -> Tally:
    """Make the cached table equal to the remote one.

    Reads ids and stamps, and the rows whose stamps differ; with `rewrite` all rows, whatever the
    cache has.
    """
    tally = Tally()
    before = table.known(db)
    living: set[str] = set()
    after: Mark | None = None
    columns = "*" if rewrite else table.stamp_columns
    while True:
        page = rest.page(table.remote, user_id, after=after, key="id", columns=columns)
        if not page:
            break
        if rewrite:
            with transaction(db, table.topic):
                write(db, table, page, tally)
        else:
            fetch_new(rest, db, user_id, table, page, tally)
        living.update(row_id(row) for row in page if not table.is_hidden(row))
        last = row_id(page[-1])
        after = Mark(last, last)
        tell(tally.written)
    gone = [row for row in before if row not in living]
    for start in range(0, len(gone), _ROWS_A_TRANSACTION):
        some = gone[start : start + _ROWS_A_TRANSACTION]
        with transaction(db, table.topic):
            now = table.known(db, some)
            remove(db, table, [row for row in some if now.get(row) == before[row]], tally)
    return tally


_ROWS_A_TRANSACTION = 1000
