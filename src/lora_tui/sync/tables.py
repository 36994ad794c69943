"""How each remote table is kept in the cache, and how a row of it is told from an older one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui.cache import metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Model, Row
from lora_tui.json_values import identifier, mapping


@dataclass(frozen=True)
class Table:
    """One remote table and its place in the cache."""

    remote: str
    cached: str
    topic: Topic
    put: Callable[[sqlite3.Connection, Iterable[Row]], None]
    remove: Callable[[sqlite3.Connection, Sequence[str]], None]
    few_columns: str
    """Those that are small whatever they hold, for a row that is too large to be had whole."""
    key: str = "updated_at"
    """What its rows are read in the order of, together with the id."""
    flag: str = ""
    """A column that changes without `key` changing."""
    deletable: bool = False
    """Whether a row may be marked as deleted."""
    hides_deleted: bool = False
    """Whether such a row leaves the cache."""

    @property
    def stamp_columns(self) -> str:
        """The few columns that tell whether a row is the one that we have."""
        columns = ["id", self.key, self.flag, "deleted_at" if self.deletable else ""]
        return ",".join(column for column in columns if column)

    def stamp(self, row: Row) -> str:
        """Equal for the same state of the same row, however the backend writes its values."""
        moment = parse_timestamp(row.get(self.key))
        flag = f" {int(row.get(self.flag) in _TRUE)}" if self.flag else ""
        return f"{timestamp_text(moment) if moment else ''}{flag}"

    def is_hidden(self, row: Row) -> bool:
        """Whether the row is one that the cache does not show."""
        return self.hides_deleted and row.get("deleted_at") is not None

    def bare(self, row: Row) -> Row:
        """The columns that every table can store, whatever the other columns hold."""
        return {name: row[name] for name in self.few_columns.split(",") if name in row}

    def known(self, db: sqlite3.Connection, ids: Sequence[str] | None = None) -> dict[str, str]:
        """The stamps of the rows that the cache has: of all of them, or of these ids."""
        flag = f" || ' ' || {self.flag}" if self.flag else ""
        sql = f"SELECT id, coalesce({self.key}, ''){flag} FROM {self.cached}"  # noqa: S608 - ours
        if ids is None:
            found = db.execute(sql)
        else:
            sql += " WHERE id IN (SELECT value FROM json_each(?))"
            found = db.execute(sql, [json.dumps(list(ids))])
        return {str(row[0]): str(row[1]) for row in found}

    def count(self, db: sqlite3.Connection) -> int:
        """How many rows the cache has."""
        sql = f"SELECT count(*) FROM {self.cached}"  # noqa: S608 - a name of ours
        return int(db.execute(sql).fetchone()[0])


def row_id(row: Row) -> str:
    """The id of the row in the cache; empty for a row without a usable id."""
    return identifier(row.get("id"))


def _put_models(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Our harvest stores a down-sampled curve in the row; the list can draw it at once."""
    rows = list(rows)
    models.put_models(db, rows)
    for row in rows:
        if not mapping(row.get("training_summary")).get("loss_curve"):
            continue
        model = Model.from_row(row)
        if model.training.loss_curve and model.job_id:
            metrics.put_stored_curve(db, model.job_id, model.training.loss_curve)


def _remove_jobs(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    records.delete_records(db, "jobs", ids)
    metrics.delete_curves(db, ids)


_TRUE: Final = (True, 1, "true", "t")

TABLES: Final = (
    # a model names its dataset even when that is marked as deleted
    Table(
        "datasets",
        "datasets",
        Topic.DATASETS,
        records.put_datasets,
        lambda db, ids: records.delete_records(db, "datasets", ids),
        "id,user_id,name,status,created_at,updated_at,deleted_at",
        deletable=True,
    ),
    Table(
        "training_jobs",
        "jobs",
        Topic.JOBS,
        records.put_jobs,
        _remove_jobs,
        "id,user_id,dataset_id,artifact_id,preset_id,status,created_at,completed_at,updated_at",
    ),
    Table(
        "model_artifacts",
        "models",
        Topic.MODELS,
        _put_models,
        models.delete_models,
        "id,user_id,job_id,dataset_id,name,version,status,created_at,updated_at,deleted_at",
        deletable=True,
        hides_deleted=True,
    ),
    # the deployed table has no updated_at, and a notification changes in one thing only
    Table(
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
"""In the order in which they are read: what a row refers to comes before it."""
