"""How each remote table lies in the cache: which columns, which state a row has, how it is written.

A row that can't be written does not affect the others.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.cache import costs, jobs, metadata, metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.deleted_models import deleted_stamps, forget_deleted, put_deleted
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row, Training
from lora_tui.domain.cost_records import micro_dollars
from lora_tui.json_values import identifier, mapping, number
from lora_tui.text import terminal_safe


@dataclass(frozen=True)
class RemoteTable:
    """One remote table and its place in the cache."""

    remote: str
    """Its name in the backend."""
    cached: str
    """Its name in the cache."""
    topic: Topic
    put: Callable[[sqlite3.Connection, Iterable[Row]], None]
    delete: Callable[[sqlite3.Connection, Sequence[str]], None]
    small_columns: str
    """Columns that are always small, for a row that is too large to be fetched whole."""
    key: str = "updated_at"
    """The column that rows are ordered by, before the id."""
    flag: str = ""
    """A column that changes without `key` changing."""
    soft_deletes: bool = False
    """Whether rows may be marked as deleted."""
    hides_deleted: bool = False
    """Whether rows that are marked as deleted leave the table, for `deleted_models`."""
    amount: str = ""
    """A column of US dollars that may be corrected without `key` changing; `micros` here."""
    is_needed: bool = True
    """Whether a sync fails where the table can't be read; else the rest is synced, and it says so.
    """

    @property
    def stamp_columns(self) -> str:
        """The columns that `stamp` and `is_hidden` read."""
        deleted = "deleted_at" if self.soft_deletes else ""
        columns = ["id", self.key, self.flag, self.amount, deleted]
        return ",".join(column for column in columns if column)

    def stamp(self, row: Row) -> str:
        """The state of a row: equal for equal states, in whatever form the backend writes them."""
        moment = parse_timestamp(row.get(self.key))
        flag = f" {int(row.get(self.flag) in _TRUE)}" if self.flag else ""
        micros = micro_dollars(number(row.get(self.amount))) if self.amount else None
        amount = f" {'' if micros is None else micros}" if self.amount else ""
        return f"{timestamp_text(moment) if moment else ''}{flag}{amount}"

    def is_hidden(self, row: Row) -> bool:
        """Whether the cache does not show the row."""
        return self.hides_deleted and row.get("deleted_at") is not None

    def bare(self, row: Row) -> Row:
        """The small columns of a row, which can always be stored."""
        return {name: row[name] for name in self.small_columns.split(",") if name in row}

    def stamps(self, db: sqlite3.Connection, ids: Sequence[str] | None = None) -> dict[str, str]:
        """The stamps of the cached rows by id: of all of them, or of these ids."""
        flag = f" || ' ' || {self.flag}" if self.flag else ""
        amount = " || ' ' || coalesce(micros, '')" if self.amount else ""
        sql = f"SELECT id, coalesce({self.key}, ''){flag}{amount} FROM {self.cached}"
        if ids is None:
            found = db.execute(sql)
        else:
            sql += " WHERE id IN (SELECT value FROM json_each(?))"
            found = db.execute(sql, [json.dumps(list(ids))])
        return {str(row[0]): str(row[1]) for row in found}

    def count(self, db: sqlite3.Connection) -> int:
        """How many rows the cache has, those that are marked as deleted among them."""
        sql = f"SELECT (SELECT count(*) FROM {self.cached})"
        if self.hides_deleted:
            sql += " + (SELECT count(*) FROM deleted_models)"
        return int(db.execute(sql).fetchone()[0])


@dataclass
class Tally:
    """What one sync did to the rows of one table."""

    written: int = 0
    removed: int = 0
    unreadable: int = 0
    """Rows that can't be shown at all: without an id, or not JSON objects."""
    clock_set_back: bool = False
    """Whether the server's clock was set back since the last sync."""
    may_lack_rows: bool = False
    """Whether rows may have been missed: only a comparison by ids can tell."""
    total: int | None = None
    """How many rows there were when the reading began; None where the server did not say it."""


def write_rows(
    db: sqlite3.Connection, table: RemoteTable, rows: Sequence[Row], tally: Tally
) -> None:
    """Write rows into the cache, the hidden ones apart. Call inside a transaction."""
    kept = [row for row in rows if row_id(row)]
    tally.unreadable += len(rows) - len(kept)
    shown = [row for row in kept if not table.is_hidden(row)]
    hidden = [row for row in kept if table.is_hidden(row)]
    if not _try_put(db, table, shown):
        for row in shown:
            if not _try_put(db, table, [row]) and not _try_put(db, table, [table.bare(row)]):
                tally.unreadable += 1
    tally.written += len(shown)
    remove_rows(db, table, [row_id(row) for row in hidden], tally)
    if table.hides_deleted:
        forget_deleted(db, [row_id(row) for row in shown])
        put_deleted(db, hidden)


def remove_rows(
    db: sqlite3.Connection, table: RemoteTable, ids: Sequence[str], tally: Tally
) -> None:
    """Remove those of these rows that the cache has. Call inside a transaction."""
    there = list(table.stamps(db, ids)) if ids else []
    if there:
        table.delete(db, there)
        tally.removed += len(there)


def changed_rows(
    db: sqlite3.Connection, table: RemoteTable, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """The rows that the cache does not have in this state, the hidden ones among them."""
    ids = [row_id(row) for row in rows]
    cached = table.stamps(db, ids)
    is_any_hidden = any(table.is_hidden(row) for row in rows)
    hidden = deleted_stamps(db, ids) if is_any_hidden else {}
    return [
        dict(row)
        for row, key in zip(rows, ids, strict=True)
        if _is_changed(table, row, cached.get(key), hidden.get(key))
    ]


def note_unread(db: sqlite3.Connection, table: RemoteTable, error: Exception | None) -> None:
    """Note why a table that the others do not need could not be read, or (None) that it was."""
    key = f"{metadata.UNREAD}{table.remote}"
    reason = None if error is None else terminal_safe(str(error), limit=300)
    if metadata.get_value(db, key) != reason:
        with transaction(db, table.topic):
            metadata.put_value(db, key, reason)


def row_id(row: Row) -> str:
    """The id of the row in the cache; empty for a row without a usable id."""
    return identifier(row.get("id"))


def _is_changed(
    table: RemoteTable, row: Row, cached_stamp: str | None, hidden_stamp: str | None
) -> bool:
    if table.is_hidden(row):
        return cached_stamp is not None or hidden_stamp != table.stamp(row)
    return cached_stamp is None or cached_stamp != table.stamp(row)


def _try_put(db: sqlite3.Connection, table: RemoteTable, rows: Sequence[Row]) -> bool:
    """Write all of the rows, or none of them: then False."""
    db.execute("SAVEPOINT some_rows")
    try:
        table.put(db, rows)
    except _VALUE_ERRORS as error:
        db.execute("ROLLBACK TO some_rows")
        db.execute("RELEASE some_rows")
        _log.warning("%s: could not store a row as it is: %s", table.remote, type(error).__name__)
        return False
    db.execute("RELEASE some_rows")
    return True


def _put_jobs(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    rows = list(rows)
    jobs.put_jobs(db, rows)
    models.follow_jobs(db, [row_id(row) for row in rows])


def _put_models(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Also store the down-sampled curve that a harvested model's row holds."""
    rows = list(rows)
    metrics.delete_curves(db, _replaced_curves(db, rows))
    for row in rows:  # before the models, whose values are computed from it
        if not mapping(row.get("training_summary")).get("loss_curve"):
            continue
        curve = Training.from_json(row.get("training_summary")).loss_curve
        job_id = identifier(row.get("job_id"))
        if curve and job_id:
            metrics.put_stored_curve(db, job_id, curve)
    models.put_models(db, rows)


def _replaced_curves(db: sqlite3.Connection, rows: Sequence[Row]) -> list[str]:
    """The jobs of models that the cache has with another curve: `push --update` replaces the log.

    Their cached points are those of the earlier one, and are fetched again like those of any model.
    """
    if db.execute("SELECT 1 FROM curves LIMIT 1").fetchone() is None:
        return []
    whole = {identifier(row.get("job_id")): row for row in rows if "training_summary" in row}
    sql = (
        "SELECT c.job_id, m.updated_at, m.row FROM curves c JOIN models m ON m.job_id = c.job_id"
        " WHERE c.job_id IN (SELECT value FROM json_each(?))"
    )
    replaced = []
    for job_id, stamp, cached in db.execute(sql, [json.dumps([*whole])]):
        row = whole[job_id]
        if stamp != MODEL_TABLE.stamp(row):
            before, now = (_curve_in(each) for each in (mapping(cached), row))
            if before and before != now:
                replaced.append(str(job_id))
    return replaced


def _curve_in(row: Row) -> Any:
    return mapping(row.get("training_summary")).get("loss_curve")


def _remove_jobs(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Also what belongs to them: the backend deletes it with a job, too."""
    jobs.delete_jobs(db, ids)
    metrics.delete_curves(db, ids)
    costs.delete_costs_of(db, ids)


_TRUE: Final = (True, 1, "true", "t")
_log: Final = logging.getLogger("lora_tui.sync")
_VALUE_ERRORS: Final = (
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
"""What an unexpected value in a row can raise; not what SQLite raises for the file or the disk."""

TABLES: Final = (
    # deleted datasets stay, because models still name them
    RemoteTable(
        "datasets",
        "datasets",
        Topic.DATASETS,
        records.put_datasets,
        lambda db, ids: records.delete_records(db, "datasets", ids),
        "id,user_id,name,status,created_at,updated_at,deleted_at",
        soft_deletes=True,
    ),
    RemoteTable(
        "training_jobs",
        "jobs",
        Topic.JOBS,
        _put_jobs,
        _remove_jobs,
        "id,user_id,dataset_id,artifact_id,preset_id,status,created_at,completed_at,updated_at",
    ),
    RemoteTable(
        "model_artifacts",
        "models",
        Topic.MODELS,
        _put_models,
        models.delete_models,
        "id,user_id,job_id,dataset_id,name,version,status,created_at,updated_at,deleted_at",
        soft_deletes=True,
        hides_deleted=True,
    ),
    # the deployed table has no updated_at
    RemoteTable(
        "cost_records",
        "cost_records",
        Topic.COSTS,
        costs.put_cost_records,
        lambda db, ids: records.delete_records(db, "cost_records", ids),
        "id,user_id,job_id,cost_type,amount,billing_period,recorded_at",
        key="recorded_at",
        amount="amount",
        is_needed=False,
    ),
    # the deployed table has no updated_at; only `read` of a notification changes
    RemoteTable(
        "notifications",
        "notifications",
        Topic.NOTIFICATIONS,
        records.put_notifications,
        lambda db, ids: records.delete_records(db, "notifications", ids),
        "id,user_id,type,title,priority,read,created_at",
        key="created_at",
        flag="read",
    ),
)
"""In the order in which a sync reads them: a table comes after those that its rows refer to."""
MODEL_TABLE: Final = next(table for table in TABLES if table.cached == "models")
