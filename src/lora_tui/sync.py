"""Updates the cache from the backend: who may sync, in which order, and how a table is read.

The sync asks for what is new in the five tables (cache/remote_tables.py) at once, each in a thread
of its own, and writes the answers in this one, table after table; the loss curves follow. A table
is read in up to three steps:

1. `read_new` (fetching/new_rows.py) asks for the stamps of the newest rows and for the number of
   all, which is the only request if nothing is new. What is beyond the *cursor*, the last row that
   was read in the order of (updated_at, id), comes in pages. `pull` writes each page in one
   transaction together with the new cursor, so a sync that is interrupted anywhere continues there,
   and nothing is half visible.
2. The same request shows rows that became visible before the cursor: their transaction took
   longer than later ones, or a row dated in the future was read first. It reaches back over the
   last minutes before the cursor, or before the server's time of the last sync where that is
   earlier; `pull` fetches the rows that differ. All these moments are the server's own, so a wrong
   clock on this machine loses nothing.
3. `_reconcile` compares the whole table by ids. It finds what left no timestamp: rows that were
   deleted or given to another owner, rows with old dates. It runs once a day, when the numbers of
   rows differ, when the server's clock was set back, and when the timestamps of a page did not
   advance.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final

from lora_tui import clock
from lora_tui.cache import metadata
from lora_tui.cache.cache_file import sync_holder, sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import path_of, transaction, translate_database_errors
from lora_tui.cache.deleted_models import deleted_stamps, forget_deleted
from lora_tui.cache.integrity import check_if_due
from lora_tui.cache.remote_tables import (
    MODEL_TABLE,
    TABLES,
    RemoteTable,
    Tally,
    changed_rows,
    note_unread,
    remove_rows,
    row_id,
    write_rows,
)
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row
from lora_tui.errors import (
    BackendError,
    CacheError,
    LoraTuiError,
    NotFoundError,
    QueryTimeoutError,
)
from lora_tui.fetching.curves import pull_curves
from lora_tui.fetching.new_rows import Known, Part, read_new
from lora_tui.fetching.read_ahead import ReadAhead
from lora_tui.fetching.read_flags import read_flags, unread_ids, write_flags
from lora_tui.fetching.rows import OVERLAP, RowReader
from lora_tui.gateway.paging import Cursor, RowLimit, next_cursor, repeated_rows
from lora_tui.gateway.rest import Rest
from lora_tui.processes import LockHolder, in_use_error, new_identity

__all__ = ("Progress", "SyncReport", "known_of", "note_failure", "pull", "sync_cache")

RECONCILE_EVERY: Final = timedelta(hours=24)
_ROWS_A_TRANSACTION: Final = 1000
_TABLE_ERRORS: Final = (BackendError, NotFoundError, QueryTimeoutError)
"""Errors of one table, which do not stop the others (DeniedError is a NotFoundError)."""
_RECONCILED: Final = "sync.reconciled"

Progress = Callable[[str, int], None]
"""Called with the table and the number of its rows that were written so far."""


@dataclass
class SyncReport:
    """What a sync did: rows written and removed by table, curves fetched."""

    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    curves: int = 0
    full: bool = False
    skipped: bool = False
    """Another process is syncing this cache, so this one did nothing."""
    failures: list[LoraTuiError] = field(default_factory=list)
    """The errors of tables that could not be read."""
    unread: dict[str, LoraTuiError] = field(default_factory=dict)
    """The errors of tables without which the rest is complete; they do not fail the sync."""

    def add(self, table: str, tally: Tally) -> None:
        """Count what was done to a table."""
        self.written[table] = self.written.get(table, 0) + tally.written
        self.removed[table] = self.removed.get(table, 0) + tally.removed


# Who may sync -----------------------------------------------------------------------------------


def sync_cache(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    *,
    full: bool = False,
    progress: Progress | None = None,
    patience: float = 0.0,
    on_wait: Callable[[LockHolder], None] | None = None,
    check_cache: bool = True,
) -> SyncReport:
    """Update the cache from the backend.

    `full` reads and writes every row again, and all points of the curves whose points were read.
    If another sync of this cache runs, calls `on_wait` with its process and waits up to `patience`
    seconds; with a patience of 0 the report says `skipped`. With `check_cache` the integrity of the
    cache is checked first; that of a large cache once a day, or after a sync that was killed.

    Raises DamagedCacheError, and the errors of the gateway, after noting them in the cache for the
    status line; CacheError if the other sync took too long or the cache is another user's.
    """
    owner = metadata.get_owner(db)
    if owner is not None and owner.user_id != user_id:
        raise CacheError("This cache belongs to another account")
    path = path_of(db)
    with sync_lock(path, patience=patience, on_wait=on_wait) as is_ours:
        if is_ours:
            with translate_database_errors(path):
                if check_cache:
                    check_if_due(db)
                return _sync(rest, db, user_id, full, progress or (lambda _table, _rows: None))
    if patience:
        message = "Another lora-tui is still syncing this cache"
        raise in_use_error(message, sync_holder(path), path, CacheError)
    return SyncReport(full=full, skipped=True)


def note_failure(db: sqlite3.Connection, error: LoraTuiError) -> None:
    """Note why a sync could not begin, unless another runs. Raises CacheError, DiskError."""
    before = metadata.get_sync_state(db)
    if not before.running:
        kind = metadata.SyncErrorKind.of(error)
        _note(db, before._replace(last_attempt=clock.now(), error=str(error), error_kind=kind))


# In which order ---------------------------------------------------------------------------------


def _sync(
    rest: Rest, db: sqlite3.Connection, user_id: str, full: bool, progress: Progress
) -> SyncReport:
    """Sync tables, then curves; note in the cache that it runs, and how it ended."""
    started, report = clock.now(), SyncReport(full=full)
    before = metadata.get_sync_state(db)
    _note(db, before._replace(last_attempt=started, running=True))
    last_success, error, kind = before.last_success, before.error, before.error_kind

    def on_curve(fetched: int) -> None:
        report.curves = fetched
        progress("curves", fetched)

    try:
        _sync_tables(rest, db, user_id, report, progress)
        if not report.failures:  # the list is complete without the curves
            last_success = started
            _note(db, metadata.SyncState(last_success, started, running=True, error=None))
            report.failures += pull_curves(rest, db, reread=full, on_curve=on_curve)
        if report.failures:
            raise report.failures[0]
    except BaseException as raised:
        if isinstance(raised, LoraTuiError):
            error, kind = str(raised), metadata.SyncErrorKind.of(raised)
        with suppress(LoraTuiError, sqlite3.Error):  # a full disk can't take the note either
            _note(db, metadata.SyncState(last_success, started, False, error, kind))
        raise
    _note(db, metadata.SyncState(last_success, started, running=False, error=None))
    return report


def _sync_tables(
    rest: Rest, db: sqlite3.Connection, user_id: str, report: SyncReport, progress: Progress
) -> None:
    """Ask for all tables at once, then write them in turn.

    An unreadable table does not stop the others.
    """
    now = clock.now()
    is_first = all(metadata.get_cursor(db, table.remote) is None for table in TABLES)
    is_due = metadata.is_due(db, _RECONCILED, RECONCILE_EVERY)
    compare = report.full or (not is_first and is_due)
    rewrite = report.full and not is_first
    readers = [RowReader(rest, user_id, table) for table in TABLES]
    unread = unread_ids(db)
    with ReadAhead() as ahead:
        flags = ahead.each(read_flags(readers[-1], unread))
        parts = [ahead.each(read_new(reader, known_of(db, reader.table))) for reader in readers]
        if is_first:  # a count larger than its page proves that counts tell the ends of curves
            ahead.each(reader.count() for reader in readers if reader.table is MODEL_TABLE)
        for reader, news in zip(readers, parts, strict=True):
            table = reader.table
            try:
                if table.flag:  # before the news, which may be newer
                    write_flags(reader, db, unread, next(flags))
                _sync_table(reader, db, news, report, progress, compare=compare, rewrite=rewrite)
            except _TABLE_ERRORS as error:
                if table.is_needed:
                    report.failures.append(error)
                    continue
                report.unread[table.remote] = error
            if not table.is_needed:
                note_unread(db, table, report.unread.get(table.remote))
            if table.topic is Topic.MODELS:
                with transaction(db):
                    metadata.put_value(db, metadata.MODELS_READ, timestamp_text(now))
    if not report.failures and (compare or is_first):
        with transaction(db):
            metadata.put_value(db, _RECONCILED, timestamp_text(now))


def _sync_table(
    reader: RowReader,
    db: sqlite3.Connection,
    news: Iterator[Part],
    report: SyncReport,
    progress: Progress,
    *,
    compare: bool,
    rewrite: bool,
) -> None:
    name = reader.table.remote
    on_rows = partial(progress, name)
    pulled = pull(reader, db, news, on_rows)
    report.add(name, pulled)
    compare = compare or pulled.clock_set_back or pulled.may_lack_rows
    compare = compare or _is_number_new(reader, db, pulled.total)
    if compare:
        compared = _reconcile(reader, db, on_rows, rewrite=rewrite)
        if rewrite:  # what `pull` had written was written again
            report.written[name] = 0
        report.add(name, compared)
        pulled.unreadable = compared.unreadable
    if pulled.unreadable or compare:  # an ordinary sync does not read those rows again
        with transaction(db):
            count = str(pulled.unreadable) if pulled.unreadable else None
            metadata.put_value(db, f"{metadata.UNREADABLE}{name}", count)


# Pull -------------------------------------------------------------------------------------------


def known_of(db: sqlite3.Connection, table: RemoteTable) -> Known:
    """What the cache has of a table, for `read_new`."""
    stored = metadata.get_cursor(db, table.remote)
    # None also for one that can't be used in a query (an older version wrote it)
    cursor = Cursor.of({table.key: stored[0], "id": stored[1]}, table.key) if stored else None
    end = cursor.place[0] if cursor else clock.now()
    last_time = parse_timestamp(metadata.get_value(db, f"{metadata.SERVER_TIME}{table.remote}"))
    return Known(cursor, min(end, last_time or end) - OVERLAP, table.count(db))


def pull(
    reader: RowReader,
    db: sqlite3.Connection,
    news: Iterator[Part],
    on_rows: Callable[[int], None],
) -> Tally:
    """Write what `read_new` reads: the rows beyond the cursor, and those visible late before it."""
    table, tally = reader.table, Tally()
    time_key = f"{metadata.SERVER_TIME}{table.remote}"
    last_time = metadata.get_value(db, time_key)
    server_time: datetime | None = None
    for page, is_whole, cursor, may_lack_rows in news:
        server_time = server_time or page.server_time
        tally.total = page.total if tally.total is None else tally.total
        tally.unreadable += page.unreadable
        tally.may_lack_rows |= may_lack_rows
        if not is_whole:
            _fetch_changed(reader, db, page.rows, tally)
        elif page.rows:
            with transaction(db, table.topic):
                write_rows(db, table, changed_rows(db, table, page.rows), tally)
                if cursor is not None:
                    metadata.put_cursor(db, table.remote, cursor.updated_at, cursor.id)
                if last_time is None and server_time is not None:
                    last_time = timestamp_text(server_time)
                    metadata.put_value(db, time_key, last_time)
        on_rows(tally.written)
    if server_time is not None:
        before = parse_timestamp(last_time)
        tally.clock_set_back = bool(before and server_time < before - OVERLAP)
        with transaction(db):
            metadata.put_value(db, time_key, timestamp_text(server_time))
            if tally.clock_set_back:  # noted together: a sync that ends here does not forget it
                metadata.put_value(db, _RECONCILED, "")
    return tally


def _fetch_changed(
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


# Reconcile --------------------------------------------------------------------------------------


def _reconcile(
    reader: RowReader, db: sqlite3.Connection, on_rows: Callable[[int], None], *, rewrite: bool
) -> Tally:
    """Make the cached table equal to the remote one.

    Reads ids and stamps in the order of ids, and the rows whose stamps differ; with `rewrite` all
    rows. Rows are removed only after a complete walk (each page led beyond the previous one, or as
    many rows came as the server counts), and only those that were in the cache, in the same state,
    before it began. Raises BackendError if the server sends the same rows again and again.
    """
    table, tally, before = reader.table, Tally(), reader.table.stamps(db)
    deleted_before = deleted_stamps(db) if table.hides_deleted else {}
    seen: set[str] = set()
    hidden: set[str] = set()
    after: Cursor | None = None
    columns = "*" if rewrite else table.stamp_columns
    limit = RowLimit(table.remote, reader.count)
    is_ordered, repeats = True, False
    while (page := reader.page(after, key="id", columns=columns)).rows:
        ids = [row_id(row) for row in page.rows if row_id(row)]
        if rewrite:
            with transaction(db, table.topic):
                write_rows(db, table, page.rows, tally)
        else:
            _fetch_changed(reader, db, page.rows, tally)
            tally.unreadable += len(page.rows) - len(ids)
        tally.unreadable += page.unreadable
        on_rows(tally.written)
        is_ordered &= all(one < two for one, two in pairwise([after.id if after else "", *ids]))
        following = next_cursor(page.rows, "id", None)
        repeats = following is None or seen.issuperset(ids)
        seen.update(ids)
        hidden.update(row_id(row) for row in page.rows if table.is_hidden(row))
        if repeats:
            break
        after = following
        limit.add(len(page.rows))
    if not is_ordered or repeats:
        counted = reader.count()
        if counted is None or counted > len(seen) + tally.unreadable:
            if repeats:
                raise repeated_rows(table.remote)
            return tally  # the walk may be incomplete
    removed = [i for i in before if i not in seen or i in hidden]
    for start in range(0, len(removed), _ROWS_A_TRANSACTION):
        some = removed[start : start + _ROWS_A_TRANSACTION]
        with transaction(db, table.topic):
            now = table.stamps(db, some)
            remove_rows(db, table, [i for i in some if now.get(i) == before[i]], tally)
    gone = [i for i in deleted_before if i not in seen]
    if gone:
        with transaction(db, table.topic):
            forget_deleted(db, gone)
    missing = _missing_rows(reader, db, reader.count())  # rows without an id, or a wrong count
    with transaction(db):
        key = f"{metadata.MISSING_ROWS}{table.remote}"
        metadata.put_value(db, key, missing if missing != "0" else None)
    return tally


def _is_number_new(reader: RowReader, db: sqlite3.Connection, total: int | None) -> bool:
    """Whether the backend has more rows than the cache, or fewer, and the last comparison did not.

    `total` was counted before the rows were read. Where it does not tell, they are counted again.
    """
    known = metadata.get_value(db, f"{metadata.MISSING_ROWS}{reader.table.remote}") or "0"
    if _missing_rows(reader, db, total) == known:
        return False
    return _missing_rows(reader, db, reader.count()) not in (None, known)


def _missing_rows(reader: RowReader, db: sqlite3.Connection, total: int | None) -> str | None:
    """How many rows more the backend has than the cache; None where it can't say."""
    return None if total is None else str(total - reader.table.count(db))


def _note(db: sqlite3.Connection, state: metadata.SyncState) -> None:
    with transaction(db, Topic.SYNC):
        metadata.put_sync_state(db, state, process=new_identity())
