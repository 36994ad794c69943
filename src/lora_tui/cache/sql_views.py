"""The views of `lora-tui sql`: what they are called, their columns, and the SQL behind them.

The columns of `models` are those of the registry (model_columns.py), by the same names but for
words of SQL; those of `metrics` are the columns that the cache has, so that a new metric needs no
change here.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Final, NamedTuple

from lora_tui.cache.jobs import Fate
from lora_tui.cache.model_columns import FROM_MODELS, MODEL_COLUMNS, Kind
from lora_tui.curves.metrics_series import label_of


class SqlColumn(NamedTuple):
    """One column of a view."""

    name: str
    type: str
    """What its values are, for people: `text`, `number`, `US dollars`."""
    meaning: str
    """One line."""
    sql: str


class SqlView(NamedTuple):
    """One view."""

    name: str
    meaning: str
    """One line."""
    columns: tuple[SqlColumn, ...]
    source: str
    """The SQL after FROM."""

    @property
    def select(self) -> str:
        """The query behind the view; its tables are those of the cache, also under other views."""
        chosen = ", ".join(f'{column.sql} AS "{column.name}"' for column in self.columns)
        return _SAME_NAME.sub(r"\1 main.\2", f"SELECT {chosen} FROM {self.source}")


def sql_views(db: sqlite3.Connection) -> tuple[SqlView, ...]:
    """All views over this cache."""
    return (_MODELS, _JOBS, _metrics(db), _COSTS, _NOTIFICATIONS)


VIEW_NAMES: Final = ("models", "jobs", "metrics", "costs", "notifications")
_SAME_NAME: Final = re.compile(rf"\b(FROM|JOIN)\s+({'|'.join(VIEW_NAMES)})\b", re.IGNORECASE)
"""A table of the cache in the SQL of a view; without `main.` it would be the view itself."""
_DATE: Final = "date"
_MODEL_ID: Final = "id of the model; NULL if there is none"


def _iso(micros: str) -> str:
    """SQL: microseconds since 1970 as `2026-11-30T05:57:47Z`; 0 is unknown."""
    return f"strftime('%Y-%m-%dT%H:%M:%SZ', nullif({micros}, 0) / 1000000, 'unixepoch')"


def _iso_of_text(text: str, *, seconds: str = "%S") -> str:
    """SQL: a date of the backend in the same form."""
    return f"strftime('%Y-%m-%dT%H:%M:{seconds}Z', {text})"


def _json(path: str) -> str:
    """SQL: a value of the backend's row `j`."""
    return f"json_extract(j.row, '$.{path}')"


_SQL_NAMES: Final = {"on": "loaded_on"}
"""Column → its name in SQL, where its own is a word of SQL; conditions understand both."""
_MODELS: Final = SqlView(
    "models",
    "your models, one row each",
    tuple(
        SqlColumn(
            _SQL_NAMES.get(column.name, column.name),
            column.kind.value,
            column.meaning,
            _iso(column.sql) if column.kind is Kind.MOMENT else column.sql,
        )
        for column in MODEL_COLUMNS
    ),
    FROM_MODELS,
)
_JOBS: Final = SqlView(
    "jobs",
    "training jobs of every status, one row each",
    (
        SqlColumn("id", "text", "id of the job", "j.id"),
        SqlColumn("status", "text", "queued, running, completed, failed, …", "j.status"),
        SqlColumn("model_id", "text", _MODEL_ID, "j.artifact_id"),
        SqlColumn("dataset", "text", "name of the dataset", "d.name"),
        SqlColumn("preset", "text", "preset of the job", "j.preset_id"),
        SqlColumn("base_model", "text", "model that is trained", "j.base_model"),
        SqlColumn("gpu", "text", "type of the GPUs", "j.gpu"),
        SqlColumn("step", "number", "last known step",
                  f"ifnull(c.newest_step, {_json('current_step')})"),
        SqlColumn("total_steps", "number", "steps of the whole run", _json("total_steps")),
        SqlColumn("training_loss", "number", "last known training loss",
                  "ifnull(c.newest_loss, j.loss)"),
        SqlColumn("validation_loss", "number", "last known validation loss",
                  "c.newest_validation"),
        SqlColumn("cost", "US dollars", "cost, or cost so far, as the job says", "j.cost"),
        SqlColumn("duration_hours", "hours", "training time", "j.duration_hours"),
        SqlColumn("created_at", _DATE, "when it was queued", _iso("j.created_at")),
        SqlColumn("started_at", _DATE, "when it started", _iso_of_text(_json("started_at"))),
        SqlColumn("completed_at", _DATE, "when it ended", _iso_of_text("j.completed_at")),
        SqlColumn("error", "text", "message of a failure", _json("error_message")),
    ),
    "jobs j LEFT JOIN datasets d ON d.id = j.dataset_id LEFT JOIN curves c ON c.job_id = j.id",
)  # fmt: skip
_COSTS: Final = SqlView(
    "costs",
    "every amount that counts; the sum is the total of `lora-tui costs`",
    (
        SqlColumn("source", "text", "record (it was billed) or run (the job says it)", "x.source"),
        SqlColumn("id", "text", "id of the record; NULL for a run", "x.id"),
        SqlColumn("job_id", "text", "id of the job; NULL if it is of none", "x.job_id"),
        SqlColumn("type", "text", "what was billed: gpu, storage, …; run for a run", "x.type"),
        SqlColumn("amount", "US dollars", "amount; below 0 for a credit", "x.micros / 1e6"),
        SqlColumn("spent_at", _DATE, "when it counts", _iso("x.moment")),
    ),
    "(SELECT 'record' AS source, id, job_id, type, micros, moment FROM cost_records"
    " UNION ALL SELECT 'run', NULL, j.id, 'run', j.micros, j.created_at FROM jobs j"
    f" WHERE (j.micros IS NOT NULL OR j.fate <> {Fate.QUEUED}) AND NOT EXISTS"
    " (SELECT 1 FROM cost_records r WHERE r.job_id = j.id AND r.of_the_run = 1"
    " AND r.micros IS NOT NULL)) x",
)
_NOTIFICATIONS: Final = SqlView(
    "notifications",
    "messages of the project to you",
    (
        SqlColumn("id", "text", "id of the notification", "j.id"),
        SqlColumn("type", "text", "what it is about", _json("type")),
        SqlColumn("title", "text", "title", _json("title")),
        SqlColumn("message", "text", "message", _json("message")),
        SqlColumn("priority", "text", "low, medium or high", _json("priority")),
        SqlColumn("read", "yes or no", "whether it was read", "j.read"),
        SqlColumn("created_at", _DATE, "when it was sent", _iso_of_text("j.created_at")),
        SqlColumn("model_id", "text", _MODEL_ID, _json("metadata.artifact_id")),
        SqlColumn("job_id", "text", "id of the job; NULL if there is none",
                  _json("metadata.job_id")),
    ),
    "notifications j",
)  # fmt: skip
_NO_METRICS: Final = frozenset({"job_id", "timestamp", "id", "step", "epoch"})


def _metrics(db: sqlite3.Connection) -> SqlView:
    metrics = [
        str(name)
        for (name,) in db.execute("SELECT name FROM pragma_table_info('metrics')")
        if name not in _NO_METRICS
    ]
    return SqlView(
        "metrics",
        "logged points of the runs that are cached, one row each",
        (
            SqlColumn("job_id", "text", "id of the job", "p.job_id"),
            SqlColumn(
                "model_id",
                "text",
                _MODEL_ID,
                "(SELECT m.id FROM models m WHERE m.job_id = p.job_id LIMIT 1)",
            ),
            SqlColumn(
                "timestamp", _DATE, "when it was logged", _iso_of_text("p.timestamp", seconds="%f")
            ),
            SqlColumn("step", "number", "step", "p.step"),
            SqlColumn("epoch", "number", "epoch", "p.epoch"),
            *(SqlColumn(name, "number", label_of(name).lower(), f'p."{name}"') for name in metrics),
        ),
        "metrics p",
    )
