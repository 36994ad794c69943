"""The cache's schema, as migrations. A cache is rebuildable, but finished downloads are not lost.

`PRAGMA user_version` repeats the number of the last migration, so that an up-to-date cache is
recognised without importing sqlite-utils.
"""

from __future__ import annotations

import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:  # `list` waits for this module
    from sqlite_utils import Database

SCHEMA_VERSION = 8
TABLES = frozenset(
    {
        "models",
        "model_counts",
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
        "sums",
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
    migrations()(_m004_model_lists)
    migrations()(_m005_looks_at_the_disk)
    migrations()(_m006_model_counts)
    migrations()(_m007_what_was_checked)
    migrations()(_m008_sums)
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
        "owner": str,  # which runner has it in hand (transfers/runner.py)
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


def _m004_model_lists(db: Database) -> None:
    """An index for each order of the list in each direction, one for the filters, and words.

    Models get a number of their own (`n`), which ends every index and names the row in the word
    index. `created_at` becomes microseconds since 1970 (0: unknown): a fifth of the text's size
    in sixteen indexes.
    """
    db.execute(
        "CREATE TABLE numbered_models (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
        " row TEXT NOT NULL, name TEXT NOT NULL, version TEXT, description TEXT, status TEXT,"
        " dataset_id TEXT, job_id TEXT, preset_id TEXT, base_model TEXT, stars INTEGER,"
        " convergence TEXT, final_loss REAL, perplexity REAL, cost REAL, duration_hours REAL,"
        " size INTEGER, created_at INTEGER NOT NULL, updated_at TEXT NOT NULL)"
    )
    others = (
        "id, row, name, version, description, status, dataset_id, job_id, preset_id, base_model,"
        " stars, convergence, final_loss, perplexity, cost, duration_hours, size"
    )
    db.execute(
        f"INSERT INTO numbered_models ({others}, created_at, updated_at) SELECT {others},"
        " coalesce(CAST(strftime('%s', substr(created_at, 1, 19)) AS INTEGER) * 1000000"
        " + CAST(substr(created_at, 21, 6) AS INTEGER), 0), updated_at"
        " FROM models ORDER BY created_at, id"
    )
    db.execute("DROP TABLE models")
    db.execute("ALTER TABLE numbered_models RENAME TO models")
    db.execute("CREATE INDEX models_job ON models (job_id)")
    db.execute(
        "CREATE INDEX models_filters ON models"
        " (dataset_id, convergence, stars, preset_id, base_model, created_at)"
    )
    for direction in ("ASC", "DESC"):
        ending = direction.lower()
        db.execute(f"CREATE INDEX models_created_at_{ending} ON models (created_at {direction})")
        db.execute(
            f"CREATE INDEX models_name_{ending} ON models"
            f" (name COLLATE NOCASE {direction}, created_at DESC)"
        )
        for column in ("stars", "cost", "final_loss", "duration_hours", "size", "perplexity"):
            db.execute(
                f"CREATE INDEX models_{column}_{ending} ON models"
                f" ({column} IS NULL, {column} {direction}, created_at DESC)"
            )
    try:
        db.execute(
            "CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description,"
            " tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2')"
        )
    except sqlite3.OperationalError:
        return  # this SQLite was built without FTS5: searches read the table instead
    for statement in _WORD_TRIGGERS:
        db.execute(statement)
    db.execute(
        "INSERT INTO models_words (rowid, name, dataset, base_model, description)"
        " SELECT m.n, m.name, d.name, m.base_model, m.description FROM models m"
        " LEFT JOIN datasets d ON d.id = m.dataset_id"
    )


def _m005_looks_at_the_disk(db: Database) -> None:
    """Whether what was downloaded is still there, and of when the file is that was verified."""
    db.table("library").add_column("intact", int, not_null_default=1)
    db.table("transfers").add_column("modified", int)


def _m006_model_counts(db: Database) -> None:
    """How many models have which value of what one filters by."""
    db.execute(
        "CREATE TABLE model_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL,"
        " PRIMARY KEY (facet, value)) WITHOUT ROWID"
    )
    from lora_tui.cache.facets import recount

    recount(db.conn)


def _m007_what_was_checked(db: Database) -> None:
    """What a file that is done was compared with (checked.py)."""
    db.table("transfers").add_column("checked", str)
    db.execute(
        "UPDATE transfers SET checked = CASE WHEN expected_sha256 IS NOT NULL THEN 'sha256'"
        " WHEN file LIKE '%.safetensors' OR file LIKE '%.json' THEN 'structure'"
        " ELSE 'length' END WHERE state IN ('done', 'missing', 'changed')"
    )


def _m008_sums(db: Database) -> None:
    """A checksum of each row, and of each table; how many points a curve was drawn of."""
    for table in ("models", "datasets", "jobs", "notifications", "curves"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN sum INTEGER")
    db.execute("ALTER TABLE curves ADD COLUMN points_sum INTEGER")
    db.execute(
        "CREATE TABLE sums (name TEXT PRIMARY KEY, n INTEGER NOT NULL, total INTEGER NOT NULL)"
        " WITHOUT ROWID"
    )
    from lora_tui.cache.sums import recompute_sums

    recompute_sums(db.conn)


_WORD_TRIGGERS = (
    "CREATE TRIGGER models_words_delete AFTER DELETE ON models BEGIN"
    " DELETE FROM models_words WHERE rowid = old.n; END",
    *(
        f"CREATE TRIGGER datasets_words_{event.split()[0].lower()} AFTER {event} ON datasets BEGIN"
        f" UPDATE models_words SET dataset = {name} WHERE rowid IN"
        f" (SELECT n FROM models WHERE dataset_id = {row}.id) AND dataset IS NOT {name}; END"
        for event, row, name in (
            ("INSERT", "new", "new.name"),
            ("UPDATE OF name", "new", "new.name"),
            ("DELETE", "old", "NULL"),
        )
    ),
)
"""What `put_models` does not see: models that are deleted, datasets that get another name.

It writes the words of new models itself, all at once: for each row that a trigger writes, FTS5
would write out what it has gathered, which takes eight times as long.
"""
