"""Remote tables → cache: keyset increments with an overlap, tombstones, reconcile of ids.

Each page of a table is one transaction together with the mark that says how far the table has
been read, so a sync that is interrupted anywhere goes on from there and nothing is half-visible.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from lora_tui import clock
from lora_tui.cache import facts, metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint, Model, Row
from lora_tui.errors import LoraTuiError
from lora_tui.gateway.rest import Mark, Rest

OVERLAP: Final = timedelta(minutes=5)
"""A row may become visible after rows with a later `updated_at`: its transaction took longer."""
RECONCILE_EVERY: Final = timedelta(hours=24)
CURVES_A_SYNC: Final = 100
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class _Table:
    """How one remote table is kept in the cache."""

    remote: str
    topic: Topic
    cached: str
    key: str
    put: Callable[[sqlite3.Connection, Iterable[Row]], None]


_TABLES: Final = (
    _Table("datasets", Topic.DATASETS, "datasets", "updated_at", records.put_datasets),
    _Table("training_jobs", Topic.JOBS, "jobs", "updated_at", records.put_jobs),
    _Table("model_artifacts", Topic.MODELS, "models", "updated_at", models.put_models),
    # the deployed table has no updated_at; `_refresh_unread` sees to what changes in it
    _Table(
        "notifications",
        Topic.NOTIFICATIONS,
        "notifications",
        "created_at",
        records.put_notifications,
    ),
)


@dataclass
class SyncReport:
    """What a sync did: rows written and removed by table, curves fetched."""

    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    curves: int = 0
    full: bool = False


Progress = Callable[[str, int], None]
"""Told the table and how many rows of it have been written so far."""


def sync_cache(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    *,
    full: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    """Bring the cache up to the backend.

    `full` reads every row again and removes what the backend no longer has; an ordinary sync reads
    what has changed and reconciles ids once in `RECONCILE_EVERY`. Raises what the gateway raises,
    after the failure was noted in the cache for the status line.
    """
    started = clock.now()
    before = facts.get_sync_state(db)
    _note(db, facts.SyncState(before.last_success, started, running=True, error=before.error))
    report = SyncReport(full=full)
    tell = progress or (lambda _table, _rows: None)
    try:
        for table in _TABLES:
            _pull(rest, db, user_id, table, report, tell, full=full)
        _refresh_unread(rest, db, user_id)
        if full or _reconcile_is_due(db):
            _reconcile(rest, db, user_id, report)
    except LoraTuiError as error:
        _note(db, facts.SyncState(before.last_success, started, running=False, error=str(error)))
        raise
    except BaseException:
        _note(db, facts.SyncState(before.last_success, started, running=False, error=before.error))
        raise
    # the curves come after: the list is already true without them
    _note(db, facts.SyncState(started, started, running=False, error=None))
    for job_id in metrics.jobs_without_curve(db, CURVES_A_SYNC):
        pull_curve(rest, db, job_id)
        report.curves += 1
        tell("curves", report.curves)
    return report


def pull_curve(rest: Rest, db: sqlite3.Connection, job_id: str) -> None:
    """Fetch the metric points of a job that the cache does not have yet, all pages of them."""
    after = metrics.last_point(db, job_id)
    points = [
        MetricPoint.from_row(row)
        for page in rest.metric_points(job_id, after=after)
        for row in page
    ]
    if points or after is None:
        with transaction(db, Topic.CURVES):
            metrics.put_points(db, job_id, points)


def _pull(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    table: _Table,
    report: SyncReport,
    tell: Progress,
    *,
    full: bool,
) -> None:
    mark = None if full else facts.get_mark(db, table.remote)
    after = None if mark is None else _overlapping(mark)
    written = removed = 0
    while True:
        page = rest.page(table.remote, user_id, after=after, key=table.key)
        if not page:
            break
        living = [row for row in page if row.get("deleted_at") is None]
        dead = [str(row["id"]) for row in page if row.get("deleted_at") is not None]
        after = Mark(str(page[-1][table.key]), str(page[-1]["id"]))
        with transaction(db, table.topic):
            changed = _changed(db, table, living)
            table.put(db, changed)
            removed += _delete(db, table, dead)
            if table.cached == "models":
                _keep_stored_curves(db, changed)
            if mark is None or _later(after, mark):
                facts.put_mark(db, table.remote, after.updated_at, after.id)
        written += len(changed)
        tell(table.remote, written)
    report.written[table.remote] = written
    report.removed[table.remote] = removed


def _changed(db: sqlite3.Connection, table: _Table, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that the overlap has not shown us before."""
    if table.key != "updated_at":
        return rows
    known = dict(
        tuple(row)
        for row in db.execute(
            f"SELECT id, updated_at FROM {table.cached}"  # noqa: S608 - a name of ours
            f" WHERE id IN ({', '.join('?' for _ in rows)})",
            [str(row["id"]) for row in rows],
        )
    )
    return [row for row in rows if known.get(str(row["id"])) != _moment(row)]


def _moment(row: Row) -> str | None:
    moment = parse_timestamp(row.get("updated_at"))
    return None if moment is None else timestamp_text(moment)


def _delete(db: sqlite3.Connection, table: _Table, ids: Sequence[str]) -> int:
    cursor = db.executemany(
        f"DELETE FROM {table.cached} WHERE id = ?",  # noqa: S608 - a name of ours
        [(row_id,) for row_id in ids],
    )
    return max(0, cursor.rowcount)


def _keep_stored_curves(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Our harvest stores a down-sampled curve in the row; the list can draw it at once."""
    for row in rows:
        model = Model.from_row(row)
        if model.training.loss_curve and model.job_id:
            metrics.put_stored_curve(db, model.job_id, model.training.loss_curve)


def _refresh_unread(rest: Rest, db: sqlite3.Connection, user_id: str) -> None:
    """Whether a notification was read elsewhere shows in no timestamp: ask for the unread ones."""
    ids = [str(row[0]) for row in db.execute("SELECT id FROM notifications WHERE read = 0")]
    rows: list[dict[str, Any]] = rest.rows_by_id("notifications", user_id, ids) if ids else []
    changed = [row for row in rows if row.get("read")]
    gone = set(ids) - {str(row["id"]) for row in rows}
    if changed or gone:
        with transaction(db, Topic.NOTIFICATIONS):
            records.put_notifications(db, changed)
            _delete(db, _TABLES[-1], sorted(gone))


def _reconcile_is_due(db: sqlite3.Connection) -> bool:
    last = parse_timestamp(facts.get_fact(db, "sync.reconciled"))
    return last is None or clock.now() - last > RECONCILE_EVERY


def _reconcile(rest: Rest, db: sqlite3.Connection, user_id: str, report: SyncReport) -> None:
    """Find what no timestamp tells: rows deleted for good or moved to another owner."""
    for table in _TABLES:
        cached = {str(row[0]) for row in db.execute(f"SELECT id FROM {table.cached}")}  # noqa: S608
        gone = cached - set(rest.ids(table.remote, user_id))
        if gone:
            with transaction(db, table.topic):
                removed = _delete(db, table, sorted(gone))
            report.removed[table.remote] = report.removed.get(table.remote, 0) + removed
    with transaction(db, Topic.SYNC):
        facts.put_fact(db, "sync.reconciled", timestamp_text(clock.now()))


def _overlapping(mark: tuple[str, str]) -> Mark:
    moment = parse_timestamp(mark[0])
    return Mark(*mark) if moment is None else Mark(timestamp_text(moment - OVERLAP), _FIRST_ID)


def _later(after: Mark, mark: tuple[str, str]) -> bool:
    new, old = parse_timestamp(after.updated_at), parse_timestamp(mark[0])
    if new is None or old is None:
        return old is None
    return (new, after.id) > (old, mark[1])


def _note(db: sqlite3.Connection, state: facts.SyncState) -> None:
    with transaction(db, Topic.SYNC):
        facts.put_sync_state(db, state, process_id=os.getpid())
