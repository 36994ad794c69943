"""The tables of the deployed project as data (columns, defaults, constraints), and their DDL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ColumnType = Literal["uuid", "text", "timestamptz", "jsonb", "numeric", "integer", "boolean"]

NOW: Final = "now()"
NEW_ID: Final = "gen_random_uuid()"


@dataclass(frozen=True)
class Column:
    """One column; `default` is a ready SQLite value, or one of NOW and NEW_ID."""

    name: str
    type: ColumnType = "text"
    required: bool = False
    default: str | float | None = None
    unique: bool = False
    references: str | None = None
    on_delete: str = "NO ACTION"
    longest: int | None = None
    decimals: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table; `touched` ones have an updated_at that every update sets.

    `key` is the primary key. `added` tables exist where our migration has been applied, and are
    open to the service role alone.
    """

    name: str
    columns: Mapping[str, Column]
    touched: bool = False
    key: str = "id"
    added: bool = False


def _table(
    name: str, *columns: Column, touched: bool = False, key: str = "id", added: bool = False
) -> Table:
    return Table(name, {column.name: column for column in columns}, touched, key, added)


def _id() -> Column:
    return Column("id", "uuid", required=True, default=NEW_ID)


def _owner() -> Column:
    return Column("user_id", "uuid", required=True, references="auth_users", on_delete="CASCADE")


def _moment(name: str, *, now: bool = False) -> Column:
    return Column(name, "timestamptz", required=now, default=NOW if now else None)


def _counter(name: str, default: int | None = None) -> Column:
    return Column(name, "integer", default=default)


_JOB_STATES: Final = ("queued", "initializing", "running", "completed", "failed", "cancelled")
_PRESETS: Final = ("conservative", "balanced", "aggressive", "custom")

TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        _table(
            "datasets",
            _id(),
            _owner(),
            Column("name", required=True),
            Column("description"),
            Column("format", required=True, default="brightrun_lora_v4"),
            Column("status", required=True, default="ready"),
            Column("storage_bucket", default="lora-datasets"),
            Column("storage_path", unique=True),
            Column("file_name"),
            _counter("file_size"),
            _counter("total_training_pairs"),
            _counter("total_validation_pairs"),
            _counter("total_tokens"),
            _moment("created_at", now=True),
            _moment("updated_at", now=True),
            _moment("deleted_at"),
            touched=True,
        ),
        _table(
            "training_jobs",
            _id(),
            _owner(),
            Column("dataset_id", "uuid", required=True, references="datasets"),
            Column("preset_id", required=True, choices=_PRESETS),
            Column("hyperparameters", "jsonb"),
            Column("gpu_config", "jsonb"),
            Column("status", required=True, default="queued", choices=_JOB_STATES),
            Column("current_stage"),
            Column("progress", "numeric", default=0),
            _counter("current_epoch", 0),
            _counter("total_epochs"),
            _counter("current_step", 0),
            _counter("total_steps"),
            Column("current_metrics", "jsonb"),
            Column("queued_at", "timestamptz", default=NOW),
            _moment("started_at"),
            _moment("completed_at"),
            Column("current_cost", "numeric", default=0),
            Column("estimated_total_cost", "numeric"),
            Column("final_cost", "numeric"),
            Column("error_message"),
            Column("error_stack"),
            _counter("retry_count", 0),
            Column("external_job_id", unique=True, longest=255),
            Column("artifact_id", "uuid", references="model_artifacts"),
            _moment("created_at", now=True),
            _moment("updated_at", now=True),
            touched=True,
        ),
        _table(
            "metrics_points",
            _id(),
            Column(
                "job_id", "uuid", required=True, references="training_jobs", on_delete="CASCADE"
            ),
            _moment("timestamp", now=True),
            _counter("epoch"),
            _counter("step"),
            Column("training_loss", "numeric", required=True, decimals=6),
            Column("validation_loss", "numeric", decimals=6),
            Column("learning_rate", "numeric"),
            Column("gradient_norm", "numeric"),
            Column("throughput", "numeric"),
            Column("gpu_utilization", "numeric"),
        ),
        _table(
            "model_artifacts",
            _id(),
            _owner(),
            Column("job_id", "uuid", required=True, unique=True, references="training_jobs"),
            Column("dataset_id", "uuid", required=True, references="datasets"),
            Column("name", required=True, longest=200),
            Column("version", default="1.0.0"),
            Column("description"),
            Column("status", default="stored", choices=("stored", "deployed", "archived")),
            _moment("deployed_at"),
            Column("quality_metrics", "jsonb", required=True),
            Column("training_summary", "jsonb", required=True),
            Column("configuration", "jsonb", required=True),
            Column("artifacts", "jsonb", required=True),
            Column("parent_model_id", "uuid", references="model_artifacts"),
            _moment("created_at", now=True),
            _moment("updated_at", now=True),
            _moment("deleted_at"),
            touched=True,
        ),
        _table(
            "notifications",
            _id(),
            _owner(),
            Column("type", required=True),
            Column("title", required=True, longest=200),
            Column("message", required=True),
            Column("priority", default="medium", choices=("low", "medium", "high")),
            Column("read", "boolean", default=0),
            Column("action_url"),
            Column("metadata", "jsonb", default="{}"),
            _moment("created_at", now=True),
        ),
        _table(
            "cost_records",
            _id(),
            _owner(),
            Column("job_id", "uuid", references="training_jobs", on_delete="CASCADE"),
            Column("cost_type", required=True),
            Column("amount", "numeric", required=True),
            Column("details", "jsonb", default="{}"),
            Column("billing_period"),
            _moment("recorded_at", now=True),
        ),
        _table(
            "harvest_leases",
            Column(
                "job_id", "uuid", required=True, references="training_jobs", on_delete="CASCADE"
            ),
            Column("holder", required=True),
            Column("expires_at", "timestamptz", required=True),
            _moment("begun_at"),
            key="job_id",
            added=True,
        ),
        _table(
            "harvest_attempts",
            Column(
                "job_id", "uuid", required=True, references="training_jobs", on_delete="CASCADE"
            ),
            Column("external_job_id", required=True),
            Column("attempts", "integer", required=True, default=0),
            Column("deaths", "integer", required=True, default=0),
            _moment("next_at"),
            Column("dead", "boolean", required=True, default=0),
            Column("reason"),
            Column("details"),
            Column("remedy"),
            _moment("first_seen", now=True),
            _moment("warned_at"),
            _moment("finished_at"),
            Column("finished_by"),
            key="job_id",
            added=True,
        ),
    )
}

_SQLITE_TYPE: Final[Mapping[ColumnType, str]] = {
    "uuid": "TEXT",
    "text": "TEXT",
    "timestamptz": "TEXT",
    "jsonb": "TEXT",
    "numeric": "NUMERIC",
    "integer": "INTEGER",
    "boolean": "INTEGER",
}

_PRIVATE_TABLES: Final = """
CREATE TABLE auth_users (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_sha256 TEXT NOT NULL,
    created_at TEXT NOT NULL, last_sign_in_at TEXT
);
CREATE TABLE auth_refresh_tokens (
    token TEXT PRIMARY KEY, session_id TEXT NOT NULL, user_id TEXT NOT NULL, successor TEXT,
    used_at TEXT, revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE storage_objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, owner TEXT, size INTEGER NOT NULL,
    content_type TEXT NOT NULL, cache_control TEXT NOT NULL, version TEXT NOT NULL, etag TEXT,
    metadata TEXT NOT NULL, recipe TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
);
CREATE TABLE resumable_uploads (
    version TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, owner TEXT,
    metadata TEXT NOT NULL, length INTEGER, parts TEXT NOT NULL DEFAULT '[]',
    finished INTEGER NOT NULL DEFAULT 0, expires_at TEXT
);
CREATE TABLE multipart_uploads (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, content_type TEXT NOT NULL, size INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE multipart_parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,
    created_at TEXT NOT NULL, PRIMARY KEY (upload, number)
);
CREATE TABLE worker_jobs (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, dialect TEXT NOT NULL, files TEXT NOT NULL,
    metadata TEXT NOT NULL, error TEXT
);
CREATE TABLE sandbox_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_INDEXES: Final = """
CREATE INDEX metrics_points_job ON metrics_points (job_id, timestamp DESC);
CREATE INDEX metrics_points_page ON metrics_points (job_id, timestamp, id);
CREATE INDEX model_artifacts_page ON model_artifacts (user_id, updated_at, id);
CREATE INDEX training_jobs_page ON training_jobs (user_id, updated_at, id);
CREATE INDEX training_jobs_artifact ON training_jobs (artifact_id);
CREATE INDEX model_artifacts_dataset ON model_artifacts (dataset_id);
CREATE INDEX training_jobs_dataset ON training_jobs (dataset_id);
CREATE INDEX model_artifacts_parent ON model_artifacts (parent_model_id);
CREATE INDEX cost_records_job ON cost_records (job_id);
CREATE INDEX training_jobs_queue ON training_jobs (completed_at, id)
    WHERE status = 'completed' AND artifact_id IS NULL AND external_job_id IS NOT NULL;
"""


def table_statements() -> list[str]:
    """The statements that create the tables."""
    return [*(_create(table) for table in TABLES.values()), *_statements(_PRIVATE_TABLES)]


def index_statements() -> list[str]:
    """The statements that create the indexes; run them after the rows, which is faster."""
    return _statements(_INDEXES)


def constraint(table: str, column: str, suffix: str) -> str:
    """The name that PostgreSQL gives to a constraint: `suffix` is key, fkey, check or pkey."""
    return f"{table}_pkey" if suffix == "pkey" else f"{table}_{column}_{suffix}"


def _statements(script: str) -> list[str]:
    return [part.strip() for part in script.split(";") if part.strip()]


def _create(table: Table) -> str:
    lines = []
    for column in table.columns.values():
        line = f'"{column.name}" {_SQLITE_TYPE[column.type]}'
        line += " PRIMARY KEY" if column.name == table.key else ""
        line += " NOT NULL" if column.required else ""
        line += " UNIQUE" if column.unique else ""
        if column.references:
            line += f" REFERENCES {column.references} (id) ON DELETE {column.on_delete}"
        lines.append(line)
    return f"CREATE TABLE {table.name} ({', '.join(lines)})"
