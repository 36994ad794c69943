"""Reads what has changed in a remote table since the last time, by (timestamp, id).

Two places in a table are remembered. `seen` is the last row that was read; everything beyond it is
read in whole rows, page by page, each page one transaction together with the new place. But a row
may also appear *before* that place: its transaction took longer than others that began later, or a
row with a time in the future was read first. So the stretch before it, from a while before the
smaller of `seen` and the server's own time of asking, is looked at again: ids and stamps only, and
rows whose stamp is new to us are fetched. All of these moments are the server's; what time it is
here does not matter. Where the server's own clock was set back by more than that while, rows may
have been dated anywhere: the whole table has to be compared (reconcile.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lora_tui.cache import facts
from lora_tui.cache.connection import transaction
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row
from lora_tui.gateway.rest import Mark, Rest
from lora_tui.sync.ahead import pages
from lora_tui.sync.tables import Table, row_id

OVERLAP: Final = timedelta(minutes=5)
"""How much longer one transaction may take than another."""

WHOLE_COMPARISON: Final = "sync.reconciled"
"""The fact that says when all tables were compared last, by this machine's clock."""

Tell = Callable[[int], None]
"""Told how many rows of the table have been written so far."""


@dataclass
class Tally:
    """Rows of one table."""

    written: int = 0
    removed: int = 0
    set_back: bool = False
    """Whether the server's clock was, since the last time."""


def pull(rest: Rest, db: sqlite3.Connection, user_id: str, table: Table, tell: Tell) -> Tally:
    """Bring one table up to the backend, but for what leaves no trace (see reconcile.py)."""
    tally = Tally()
    seen = facts.get_mark(db, table.remote)
    asked = facts.get_fact(db, _asked(table))
    answered: datetime | None = None
    if seen is not None:
        answered = _look_again(rest, db, user_id, table, Mark(*seen), asked, tally)
        tell(tally.written)
        before = parse_timestamp(asked)
        tally.set_back = bool(answered and before and answered < before - OVERLAP)

    def read(after: Mark | None) -> Sequence[Row]:
        return rest.page(table.remote, user_id, after=after, key=table.key)

    first = read(None if seen is None else Mark(*seen))
    answered = answered or rest.server_time
    for page in pages(first, lambda row: read(table.mark(row))):
        after = table.mark(page[-1])
        with transaction(db, table.topic):
            write(db, table, new_rows(db, table, page), tally)
            facts.put_mark(db, table.remote, after.updated_at, after.id)
            if asked is None and answered is not None:
                asked = timestamp_text(answered)
                facts.put_fact(db, _asked(table), asked)
        tell(tally.written)
    if answered is not None:
        with transaction(db):
            facts.put_fact(db, _asked(table), timestamp_text(answered))
            if tally.set_back:  # noted together: a sync that ends here does not forget it
                facts.put_fact(db, WHOLE_COMPARISON, "")
    return tally


def write(db: sqlite3.Connection, table: Table, rows: Sequence[Row], tally: Tally) -> None:
    """Put rows into the cache, or take them out of it. Call inside a transaction."""
    shown = [row for row in rows if not table.is_hidden(row)]
    table.put(db, shown)
    tally.written += len(shown)
    remove(db, table, [row_id(row) for row in rows if table.is_hidden(row)], tally)


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


def fetch_new(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    table: Table,
    stamps: Sequence[Row],
    tally: Tally,
) -> None:
    """Fetch and write the rows of which these stamps say that they are new to the cache."""
    new = new_rows(db, table, stamps)
    hidden = [row_id(row) for row in new if table.is_hidden(row)]
    wanted = [row_id(row) for row in new if not table.is_hidden(row)]
    rows = rest.rows_by_id(table.remote, user_id, wanted) if wanted else []
    if rows or hidden:
        with transaction(db, table.topic):
            write(db, table, rows, tally)
            remove(db, table, hidden, tally)


def _look_again(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    table: Table,
    seen: Mark,
    asked: str | None,
    tally: Tally,
) -> datetime | None:
    """The stretch before `seen`; returns the server's time of the first answer."""
    end = _place(seen)
    start = min(end[0], parse_timestamp(asked) or end[0])
    after = Mark.at(timestamp_text(start - OVERLAP))
    answered: datetime | None = None
    while True:
        page = rest.page(
            table.remote, user_id, after=after, key=table.key, columns=table.stamp_columns
        )
        answered = answered or rest.server_time
        if not page:
            return answered
        before = [row for row in page if _place(table.mark(row)) <= end]
        fetch_new(rest, db, user_id, table, before, tally)
        if len(before) < len(page) or table.mark(page[-1]).id == seen.id:
            return answered
        after = table.mark(page[-1])


def _place(mark: Mark) -> tuple[datetime, str]:
    return (parse_timestamp(mark.updated_at) or datetime.min.replace(tzinfo=UTC), mark.id)


def _asked(table: Table) -> str:
    return f"sync.asked.{table.remote}"
