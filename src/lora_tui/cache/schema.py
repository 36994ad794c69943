"""The cache's schema, as migrations. A cache is rebuildable, but finished downloads are not lost.

`PRAGMA user_version` repeats the number of the last migration, so that an up-to-date cache is
recognised without importing sqlite-utils.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA_VERSION: Final = 3
TABLES: Final = frozenset(
    {
        "models",
        "datasets",
        "jobs",
        "notifications",
        "metrics",
        "curves",
        "transfers",
        "library",
        "marks",
        "facts",
        "generations",
    }
)
"""What every cache has; one that lacks a table is damaged."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the cache to `SCHEMA_VERSION`; each migration is one transaction."""
    from sqlite_utils import Database, Migrations

    migrations = Migrations("lora_tui")
    migrations()(_m001_tables)
    migrations()(_m002_transfer_queue)
    migrations()(_m003_points_by_written_time)
    migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _m001_tables(db: Database) -> None:
    db.table("models").create(
        {
            "id": str,
            "row": str,  # the remote row, as JSON: what `show --json` prints
            "name": str,
            "version": str,
            "description": str,
            "status": str,
            "dataset_id": str,
            "job_id": str,
            "preset_id": str,
            "base_model": str,
            "stars": int,
            "convergence": str,
            "final_loss": float,
            "perplexity": float,
            "cost": float,
            "duration_hours": float,
            "size": int,
            "created_at": str,
            "updated_at": str,
        },
        pk="id",
        not_null={"row", "name", "created_at", "updated_at"},
    )
    db.table("models").create_index(["created_at", "id"])
    db.table("models").create_index(["dataset_id"])
    db.table("models").create_index(["job_id"])
    db.table("datasets").create(
        {"id": str, "row": str, "name": str, "updated_at": str},
        pk="id",
        not_null={"row", "name"},
    )
    db.table("jobs").create(
        {
            "id": str,
            "row": str,
            "status": str,
            "external_job_id": str,
            "artifact_id": str,
            "completed_at": str,
            "updated_at": str,
        },
        pk="id",
        not_null={"row", "status"},
    )
    db.table("notifications").create(
        {"id": str, "row": str, "read": int, "created_at": str, "announced": int},
        pk="id",
        not_null={"row", "read", "announced"},
        defaults={"announced": 0},
    )
    db.table("metrics").create(
        {
            "job_id": str,
            "timestamp": str,
            "id": str,
            "step": float,
            "epoch": float,
            "training_loss": float,
            "validation_loss": float,
        },
        pk=("job_id", "timestamp", "id"),
    )
    db.table("curves").create(
        {
            "job_id": str,
            "points": str,  # down-sampled by LTTB: [[step, training, validation|null], …]
            "sparkline": str,  # [training loss, …]
            "total": int,  # raw points behind it
            "last_timestamp": str,
            "last_id": str,
        },
        pk="job_id",
        not_null={"points", "sparkline", "total"},
    )
    db.table("transfers").create(
        {
            "id": int,
            "model_id": str,
            "file": str,
            "object_path": str,
            "target": str,
            "state": str,
            "bytes_done": int,
            "bytes_total": int,
            "attempts": int,
            "sha256": str,
            "error": str,
            "created_at": str,
            "updated_at": str,
        },
        pk="id",
        not_null={"model_id", "file", "object_path", "target", "state", "bytes_done", "attempts"},
        defaults={"bytes_done": 0, "attempts": 0},
    )
    db.table("transfers").create_index(["model_id", "file"], unique=True)
    db.table("library").create(
        {"model_id": str, "directory": str, "completed_at": str},
        pk="model_id",
        not_null={"directory", "completed_at"},
    )
    db.table("marks").create(  # how far each remote table has been read
        {"name": str, "moment": str, "id": str},
        pk="name",
        not_null={"moment", "id"},
    )
    db.table("facts").create({"key": str, "value": str}, pk="key", not_null={"value"})
    db.table("generations").create({"topic": str, "n": int}, pk="topic", not_null={"n"})


def _m002_transfer_queue(db: Database) -> None:
    """An order, an owner, and one row for each place on the disk instead of one for each file."""
    table = db.table("transfers")
    for column, kind in {
        "position": int,  # the order of the queue; may be negative
        "owner": str,  # which runner has it in hand (transfers/owner.py)
        "force": int,
        "expected_sha256": str,
        "error_kind": str,  # the class of the error, for the exit code
    }.items():
        table.add_column(column, kind)
    db.execute("UPDATE transfers SET position = id, force = 0")
    db.execute(
        "DELETE FROM transfers WHERE id NOT IN (SELECT max(id) FROM transfers GROUP BY target)"
    )
    db.execute("DROP INDEX idx_transfers_model_id_file")
    table.create_index(["target"], unique=True)
    table.create_index(["model_id"])
    table.create_index(["state"])


def _m003_points_by_written_time(db: Database) -> None:
    """Points were kept by the time as it was sent; now by our one written form. Fetch them anew."""
    db.execute("DELETE FROM metrics")
    db.execute("DELETE FROM curves WHERE last_id IS NOT NULL")
