"""One sync from beginning to end: who may run it, in which order, and what is said of it.

Each page of a table is one transaction together with the cursor that says how far the table has
been read, so a sync that is interrupted anywhere goes on from there and nothing is half-visible.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from lora_tui import clock
from lora_tui.cache import metadata, metrics, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import database_explained, path_of, transaction
from lora_tui.cache.integrity import QUICKLY_READ, check_integrity
from lora_tui.cache.lock import sync_holder, sync_lock
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import (
    BackendError,
    CacheError,
    DeniedError,
    LoraTuiError,
    NotFoundError,
    QueryTimeoutError,
    SessionEndedError,
    UnreachableError,
)
from lora_tui.gateway.paging import is_uuid
from lora_tui.gateway.rest import Rest
from lora_tui.sync.curves import pull_curve, reread_curve
from lora_tui.sync.pull import WHOLE_COMPARISON, pull
from lora_tui.sync.reader import Reader
from lora_tui.sync.reconcile import difference, is_explained, reconcile
from lora_tui.sync.tables import TABLES, row_id
from lora_tui.sync.writing import Tally, new_rows, remove, write

RECONCILE_EVERY: Final = timedelta(hours=24)
LOOK_EVERY: Final = timedelta(hours=24)
_LOOKED: Final = "sync.looked_over"
NEWEST_CURVES: Final = 100
"""Of so many models the curves are fetched unasked; of others when they are looked at."""
UNREAD_ASKED: Final = 240
_OF_ONE_TABLE: Final = (BackendError, NotFoundError, QueryTimeoutError)
"""Refusals (DeniedError is a NotFoundError) and invalid answers: the next table may be readable."""
_MOST_FAILURES: Final = 3


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


Progress = Callable[[str, int], None]
"""Told the table and how many rows of it have been written so far."""


def sync_cache(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    *,
    full: bool = False,
    progress: Progress | None = None,
    patience: float = 0.0,
    on_wait: Callable[[], None] | None = None,
    look_over: bool = True,
) -> SyncReport:
    """Bring the cache up to the backend.

    An ordinary sync reads what has changed, and compares whole tables where the numbers of rows
    differ, where the server's clock was set back, and once in `RECONCILE_EVERY`; `full` reads and
    writes every row again, and all points of the curves whose points it has. Where another sync of
    this cache runs, waits up to `patience` seconds for it after calling `on_wait`; without patience
    the report says `skipped`. With `look_over` the cache is read from end to end before anything is
    added to it; one that is large, only once in `LOOK_EVERY` or after a sync that was cut off.
    Raises DamagedCacheError, and what the gateway raises, after the failure was noted in the cache
    for the status line; CacheError where patience ran out or the cache is another user's.
    """
    owner = metadata.get_owner(db)
    if owner is not None and owner.user_id != user_id:
        raise CacheError("This cache belongs to another account")
    with sync_lock(path_of(db), patience=patience, on_wait=on_wait) as ours:
        if ours:
            with database_explained(path_of(db)):
                if look_over and _is_look_due(db):
                    check_integrity(db)
                return _sync(rest, db, user_id, full, progress or (lambda _table, _rows: None))
    if patience:
        holder = sync_holder(path_of(db))
        raise CacheError(
            "Another lora-tui is still syncing this cache",
            details=f"{path_of(db)} is held by {holder}",
            remedy=holder.remedy,
        )
    return SyncReport(full=full, skipped=True)


def _is_look_due(db: sqlite3.Connection) -> bool:
    if path_of(db).stat().st_size <= QUICKLY_READ:
        return True
    state = metadata.get_sync_state(db)
    was_cut_off = metadata.get_value(db, "sync.running") is not None and not state.running
    last, now = metadata.get_value(db, _LOOKED), clock.now()
    if not was_cut_off and not _is_due(last, now, LOOK_EVERY):
        return False
    with transaction(db):
        metadata.put_value(db, _LOOKED, timestamp_text(now))
    return True


def _sync(
    rest: Rest, db: sqlite3.Connection, user_id: str, full: bool, progress: Progress
) -> SyncReport:
    started = clock.now()
    before = metadata.get_sync_state(db)
    _note(db, replace(before, last_attempt=started, running=True))
    last, report = before.last_success, SyncReport(full=full)
    try:
        _tables(Reader(rest, user_id), db, report, progress)
        if report.failures:
            raise report.failures[0]
        last = started
        _note(db, metadata.SyncState(last, started, running=True, error=None))
        # the curves come after: the list is already true without them
        _curves(rest, db, report, progress)
        if report.failures:
            raise report.failures[0]
    except BaseException as error:
        said, error_kind = before.error, before.error_kind
        if isinstance(error, LoraTuiError):
            said, error_kind = str(error), _error_kind(error)
        with suppress(LoraTuiError, sqlite3.Error):  # a full disk can't take the note either
            _note(db, metadata.SyncState(last, started, False, said, error_kind))
        raise
    _note(db, metadata.SyncState(last, started, running=False, error=None))
    return report


def _tables(reader: Reader, db: sqlite3.Connection, report: SyncReport, progress: Progress) -> None:
    """Sync the tables one after the other; an unreadable table does not stop the others."""
    now = clock.now()
    first = all(metadata.get_cursor(db, table.remote) is None for table in TABLES)
    rewrite = report.full and not first
    whole = report.full or (not first and _is_due(metadata.get_value(db, WHOLE_COMPARISON), now))
    for table in TABLES:
        tell = partial(progress, table.remote)
        reader.rest.unreadable[table.remote] = 0
        try:
            pulled = pull(reader, db, table, tell)
            _add(report, table.remote, pulled)
            due = whole or pulled.set_back or pulled.unsure
            if due or not is_explained(db, table, difference(reader, db, table)):
                due, reader.rest.unreadable[table.remote] = True, 0
                tally = reconcile(reader, db, table, tell, rewrite=rewrite)
                if rewrite:  # what `pull` had written was written again
                    report.written[table.remote] = 0
                _add(report, table.remote, tally)
                pulled.unreadable = tally.unreadable
            if table.topic is Topic.MODELS:
                with transaction(db):
                    metadata.put_value(db, metadata.MODELS_READ, timestamp_text(now))
            others = reader.rest.unreadable[table.remote]
            unreadable = pulled.unreadable + others
            if unreadable or due:  # an ordinary sync does not meet them again
                with transaction(db):
                    known = str(unreadable) if unreadable else None
                    metadata.put_value(db, f"{metadata.UNREADABLE}{table.remote}", known)
        except _OF_ONE_TABLE as error:
            report.failures.append(error)
    if not report.failures:
        _refresh_unread(reader, db)
        if whole or first:
            with transaction(db):
                metadata.put_value(db, WHOLE_COMPARISON, timestamp_text(now))


def _curves(rest: Rest, db: sqlite3.Connection, report: SyncReport, progress: Progress) -> None:
    again = metrics.jobs_with_points(db) if report.full else []
    read_again = set(again)
    unread = [
        job_id
        for job_id in metrics.jobs_without_curve(db, NEWEST_CURVES)
        if job_id not in read_again
    ]
    for job_id in (*again, *unread):
        try:
            (reread_curve if job_id in read_again else pull_curve)(rest, db, job_id)
        except _OF_ONE_TABLE as error:
            report.failures.append(error)
            if len(report.failures) == _MOST_FAILURES:
                return
            continue
        report.curves += 1
        progress("curves", report.curves)


def _add(report: SyncReport, name: str, tally: Tally) -> None:
    report.written[name] = report.written.get(name, 0) + tally.written
    report.removed[name] = report.removed.get(name, 0) + tally.removed


def _refresh_unread(reader: Reader, db: sqlite3.Connection) -> None:
    """Whether a notification was read elsewhere shows in no timestamp: ask for the unread ones."""
    table = TABLES[-1]
    # an id that is no UUID can't be asked for, and may not be what it was
    ids = [unread for unread in records.unread_ids(db, UNREAD_ASKED) if is_uuid(unread)]
    rows = reader.by_id(table, [{"id": unread} for unread in ids])
    changed = new_rows(db, table, rows)
    there = {row_id(row) for row in rows}
    gone = [unread for unread in ids if unread not in there]
    if changed or gone:
        with transaction(db, table.topic):
            write(db, table, changed, Tally())
            remove(db, table, gone, Tally())


def _is_due(last: str | None, now: datetime, every: timedelta = RECONCILE_EVERY) -> bool:
    """Both moments are of this machine; one in the future was noted by a clock that was wrong."""
    moment = parse_timestamp(last)
    return moment is None or not timedelta(0) <= now - moment <= every


def _error_kind(error: LoraTuiError) -> metadata.SyncErrorKind:
    if isinstance(error, SessionEndedError):
        return metadata.SyncErrorKind.LOGIN
    if isinstance(error, DeniedError):
        return metadata.SyncErrorKind.DENIED
    if isinstance(error, UnreachableError) and not isinstance(error, QueryTimeoutError):
        return metadata.SyncErrorKind.UNREACHABLE
    return metadata.SyncErrorKind.OTHER


def _note(db: sqlite3.Connection, state: metadata.SyncState) -> None:
    with transaction(db, Topic.SYNC):
        metadata.put_sync_state(db, state, process_id=os.getpid())
