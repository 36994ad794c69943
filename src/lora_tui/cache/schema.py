"""The cache's tables and indexes.

`PRAGMA user_version` has the schema's number, so that an up-to-date cache is recognised without
importing sqlite-utils. A cache of number 8 or more is migrated, with all that is in it. One of an
older number, which no release has written, is rebuilt: its downloads are kept, and the next sync
brings back the rest.
"""

from __future__ import annotations

import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA_VERSION = 21
_OLDEST_MIGRATED = 8
TABLES = frozenset(
    {
        "models",
        "model_counts",
        "datasets",
        "jobs",
        "job_counts",
        "notifications",
        "cost_records",
        "metrics",
        "curves",
        "transfers",
        "library",
        "weights",
        "model_values",
        "run_values",
        "own_marks",
        "servers",
        "served",
        "deleted_models",
        "marks",
        "facts",
        "generations",
        "sums",
    }
)
"""What every cache has; one that lacks a table is damaged."""


def migrate(connection: sqlite3.Connection) -> None:
    """Create the tables, or migrate or rebuild older ones. Call inside a transaction."""
    from sqlite_utils import Database, Migrations

    from lora_tui.cache.downloaded import put_records, read_records
    from lora_tui.cache.metadata import REBUILT, put_value
    from lora_tui.cache.records import keep_announced, read_announced

    (version,) = connection.execute("PRAGMA user_version").fetchone()
    is_rebuilt = 0 < version < _OLDEST_MIGRATED
    records = read_records(connection) if is_rebuilt else {}
    announced = read_announced(connection) if is_rebuilt else []
    if is_rebuilt:
        _drop_all(connection)
    migrations = Migrations("lora_tui")
    migrations()(_m001_tables)
    migrations()(_m010_weights)
    migrations()(_m011_every_column_of_a_point)
    migrations()(_m012_list_of_jobs)
    migrations()(_m013_cost_records)
    migrations()(_m014_live_points)
    migrations()(_m016_sums_of_jobs)  # before the next, which writes all jobs again
    migrations()(_m015_orders_of_jobs)
    migrations()(_m017_newest_values)
    migrations()(_m018_model_values)
    migrations()(_m018_own_marks)
    migrations()(_m019_words_of_marks)
    migrations()(_m020_servers_and_deleted_models)
    migrations()(_m021_one_index_for_both_directions)
    migrations.apply(Database(connection))
    put_records(connection, records)
    if is_rebuilt:
        put_value(connection, REBUILT, str(version))
        keep_announced(connection, announced)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _drop_all(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS models_words")  # with the tables behind it
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    for (name,) in tables.fetchall():
        connection.execute(f'DROP TABLE "{name}"')


def _m001_tables(db: Database) -> None:
    for statement in _TABLES:
        db.execute(statement)
    from lora_tui.cache.model_query import ORDERS

    for order in ORDERS:
        db.execute(order.index_sql())
    try:
        db.execute(_WORDS)
    except sqlite3.OperationalError:
        pass  # this SQLite was built without FTS5: searches read the table instead
    else:
        for statement in _WORD_TRIGGERS:
            db.execute(statement)
    from lora_tui.cache.sums import recompute_sums

    recompute_sums(db.conn)


def _m010_weights(db: Database) -> None:
    # what the weights on this disk say, as JSON (weights.py); `stamp` is the state of the files
    db.execute(
        "CREATE TABLE weights (model_id TEXT PRIMARY KEY, stamp TEXT NOT NULL, summary TEXT,"
        " document TEXT)"
    )
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m011_every_column_of_a_point(db: Database) -> None:
    for column in ("learning_rate", "gradient_norm", "throughput", "gpu_utilization"):
        db.execute(f"ALTER TABLE metrics ADD COLUMN {column} REAL")
    # cached points lack these: they count as outdated, and are fetched again (fetching/curves.py)
    db.execute("UPDATE curves SET points_sum = NULL WHERE last_id IS NOT NULL")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m012_list_of_jobs(db: Database) -> None:
    for column in (
        *("activity INTEGER NOT NULL DEFAULT 2", "dataset_id TEXT", "preset_id TEXT"),
        *("base_model TEXT", "gpu TEXT", "created_at INTEGER NOT NULL DEFAULT 0", "cost REAL"),
        *("duration_hours REAL", "loss REAL"),
    ):
        db.execute(f"ALTER TABLE jobs ADD COLUMN {column}")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)  # `_m015_orders_of_jobs` fills the columns


def _m015_orders_of_jobs(db: Database) -> None:
    from lora_tui.cache.facets import JOBS, recount
    from lora_tui.cache.job_query import ORDERS
    from lora_tui.cache.jobs import rewrite_jobs
    from lora_tui.cache.sums import put_schema_sum

    for index in ("jobs_activity", "jobs_created_at"):
        db.execute(f"DROP INDEX IF EXISTS {index}")
    for statement in _JOBS:
        db.execute(statement)
    rewrite_jobs(db.conn)
    recount(db.conn, JOBS)
    for order in ORDERS:
        db.execute(order.index_sql())
    put_schema_sum(db.conn)


def _m013_cost_records(db: Database) -> None:
    from lora_tui.cache.sums import put_schema_sum

    # `micros` is the amount in millionths of a dollar, NULL if it is unknown; `moment` says when it
    # counts, in microseconds since 1970 (0: unknown); `of_the_run`: whether it bills what the job's
    # own cost tells too
    db.execute(
        "CREATE TABLE cost_records (id TEXT PRIMARY KEY, row TEXT NOT NULL, job_id TEXT,"
        " type TEXT NOT NULL, micros INTEGER, of_the_run INTEGER NOT NULL,"
        " moment INTEGER NOT NULL, recorded_at TEXT, sum INTEGER)"
    )
    # costs are summed from these indexes alone, not from the large rows (costs.py)
    db.execute(
        "CREATE INDEX cost_records_sums ON cost_records (job_id, of_the_run, moment, micros)"
    )
    db.execute("CREATE INDEX cost_records_moment ON cost_records (moment)")
    db.execute("INSERT OR REPLACE INTO sums (name, n, total) VALUES ('cost_records', 0, 0)")
    put_schema_sum(db.conn)


def _m016_sums_of_jobs(db: Database) -> None:
    from lora_tui.cache.jobs import fill_sums
    from lora_tui.cache.sums import put_schema_sum

    # `micros` is the cost in millionths of a dollar; `fate` a value of `Fate` (jobs.py)
    db.execute("ALTER TABLE jobs ADD COLUMN micros INTEGER")
    db.execute("ALTER TABLE jobs ADD COLUMN fate INTEGER NOT NULL DEFAULT 0")
    fill_sums(db.conn)
    db.execute("DROP INDEX IF EXISTS jobs_costs")
    db.execute(
        "CREATE INDEX jobs_costs ON jobs"
        " (id, created_at, fate, micros, status, dataset_id, preset_id, base_model, gpu)"
    )
    put_schema_sum(db.conn)


def _m014_live_points(db: Database) -> None:
    # `live`: the points of the run are followed, and were not read to their end (metrics.py)
    db.execute("ALTER TABLE curves ADD COLUMN live INTEGER")
    # how many points there were before most were dropped (thinning.py); NULL if all are there
    db.execute("ALTER TABLE curves ADD COLUMN thinned_from INTEGER")
    db.execute("CREATE INDEX curves_live ON curves (job_id) WHERE live = 1")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m017_newest_values(db: Database) -> None:
    # what the newest points of a run tell, for lists
    for column in ("newest_step", "newest_loss", "newest_validation"):
        db.execute(f"ALTER TABLE curves ADD COLUMN {column} REAL")
    for column, at in (("newest_step", 0), ("newest_loss", 1), ("newest_validation", 2)):
        last = f"'$[' || (json_array_length(points) - 1) || '][{at}]'"
        db.execute(
            f"UPDATE curves SET {column} = CASE WHEN json_valid(points)"
            f" AND points LIKE '[[%' THEN json_extract(points, {last}) END"
        )
    # 1 where the newest points of a run came first, and earlier ones are missing (live.py)
    db.execute("ALTER TABLE curves ADD COLUMN lacks_earlier INTEGER")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m018_model_values(db: Database) -> None:
    from lora_tui.cache.model_values import SCHEMA, rewrite_values
    from lora_tui.cache.models import follow_jobs
    from lora_tui.cache.sums import put_schema_sum

    for statement in SCHEMA:
        db.execute(statement)
    rewrite_values(db.conn)
    follow_jobs(db.conn)
    put_schema_sum(db.conn)


def _m018_own_marks(db: Database) -> None:
    # a copy of the user's own marks (marks/); their file is the truth
    db.execute(
        "CREATE TABLE own_marks (model_id TEXT PRIMARY KEY, favorite INTEGER NOT NULL DEFAULT 0,"
        " tags TEXT NOT NULL DEFAULT '', note TEXT, aliases TEXT NOT NULL DEFAULT '')"
    )
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m019_words_of_marks(db: Database) -> None:
    # the words of tags, aliases and note, folded for a search (own_marks.py)
    db.execute("ALTER TABLE own_marks ADD COLUMN words TEXT NOT NULL DEFAULT ''")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m020_servers_and_deleted_models(db: Database) -> None:
    # what each server said when it was last asked (served.py)
    db.execute("CREATE TABLE servers (name TEXT PRIMARY KEY, document TEXT NOT NULL)")
    # a copy of what was loaded where, and of the proofs (deployments/); `servers` has a space
    # before and after each name
    db.execute(
        "CREATE TABLE served (model_id TEXT PRIMARY KEY, servers TEXT NOT NULL DEFAULT '',"
        " document TEXT NOT NULL)"
    )
    # one's own models that are marked as deleted in the project, so that they can be restored
    db.execute(
        "CREATE TABLE deleted_models (id TEXT PRIMARY KEY, row TEXT NOT NULL, name TEXT NOT NULL,"
        " deleted_at TEXT NOT NULL, updated_at TEXT)"
    )
    # what was deleted before has not been kept: the next sync compares all ids, and fetches it
    db.execute("DELETE FROM facts WHERE key = 'sync.reconciled'")
    from lora_tui.cache.sums import put_schema_sum

    put_schema_sum(db.conn)


def _m021_one_index_for_both_directions(db: Database) -> None:
    from lora_tui.cache import job_query, model_query
    from lora_tui.cache.sums import put_schema_sum

    for order in (*model_query.ORDERS, *job_query.ORDERS):
        stem, _, direction = order.index_name.rpartition("_")
        other = "asc" if direction == "desc" else "desc"
        db.execute(f"DROP INDEX IF EXISTS {stem}_{other}")
    put_schema_sum(db.conn)


_TABLES = (
    # `row` is the backend's row, as JSON; `sum` the checksum of the row (sums.py)
    "CREATE TABLE datasets (id TEXT PRIMARY KEY, row TEXT NOT NULL, name TEXT NOT NULL,"
    " updated_at TEXT, sum INTEGER)",
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, row TEXT NOT NULL, status TEXT NOT NULL,"
    " external_job_id TEXT, artifact_id TEXT, completed_at TEXT, updated_at TEXT, sum INTEGER)",
    "CREATE TABLE notifications (id TEXT PRIMARY KEY, row TEXT NOT NULL, read INTEGER NOT NULL,"
    " created_at TEXT, announced INTEGER NOT NULL DEFAULT 0, sum INTEGER)",
    # `n` ends every index and is the row of the word index; `created_at` is in microseconds since
    # 1970 (0: unknown), a fifth of the text's size in eight indexes
    "CREATE TABLE models (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row TEXT NOT NULL,"
    " name TEXT NOT NULL, version TEXT, description TEXT, status TEXT, dataset_id TEXT,"
    " job_id TEXT, preset_id TEXT, base_model TEXT, stars INTEGER, convergence TEXT,"
    " final_loss REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER,"
    " created_at INTEGER NOT NULL, updated_at TEXT NOT NULL, sum INTEGER)",
    "CREATE INDEX models_job ON models (job_id)",
    "CREATE INDEX models_filters ON models"
    " (dataset_id, convergence, stars, preset_id, base_model, created_at)",
    # the number of models for each value of each filter (facets.py)
    "CREATE TABLE model_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL,"
    " PRIMARY KEY (facet, value)) WITHOUT ROWID",
    "CREATE TABLE metrics (job_id TEXT, timestamp TEXT, id TEXT, step REAL, epoch REAL,"
    " training_loss REAL, validation_loss REAL, PRIMARY KEY (job_id, timestamp, id))",
    # down-sampled points [[step, training, validation|null], ...]; how many points it was drawn
    # from, and their checksum
    "CREATE TABLE curves (job_id TEXT PRIMARY KEY, points TEXT NOT NULL, sparkline TEXT NOT NULL,"
    " total INTEGER NOT NULL, last_timestamp TEXT, last_id TEXT, sum INTEGER, points_sum INTEGER)",
    # `position` is the order of the queue and may be negative; `owner` is the runner that has the
    # file in hand (transfers/runner.py); `error_kind` is the error's class, for the exit code;
    # `checked` is what a complete file was compared with; `modified` the file's time
    "CREATE TABLE transfers (id INTEGER PRIMARY KEY, model_id TEXT NOT NULL, file TEXT NOT NULL,"
    " object_path TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL,"
    " bytes_done INTEGER NOT NULL DEFAULT 0, bytes_total INTEGER,"
    " attempts INTEGER NOT NULL DEFAULT 0, sha256 TEXT, error TEXT, created_at TEXT,"
    " updated_at TEXT, position INTEGER, owner TEXT, force INTEGER, expected_sha256 TEXT,"
    " error_kind TEXT, modified INTEGER, checked TEXT)",
    "CREATE UNIQUE INDEX transfers_target ON transfers (target)",
    "CREATE INDEX transfers_model ON transfers (model_id)",
    "CREATE INDEX transfers_state ON transfers (state)",
    # models that were downloaded whole; `intact` is whether all files are still there
    "CREATE TABLE library (model_id TEXT PRIMARY KEY, directory TEXT NOT NULL,"
    " completed_at TEXT NOT NULL, intact INTEGER NOT NULL DEFAULT 1)",
    # how far each remote table has been read
    "CREATE TABLE marks (name TEXT PRIMARY KEY, moment TEXT NOT NULL, id TEXT NOT NULL)",
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE generations (topic TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    "CREATE TABLE sums (name TEXT PRIMARY KEY, n INTEGER NOT NULL, total INTEGER NOT NULL)"
    " WITHOUT ROWID",
)
_WORDS = (
    "CREATE VIRTUAL TABLE models_words USING fts5(name, dataset, base_model, description,"
    " tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2')"
)
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
"""They update the index for deleted models and renamed datasets.

`put_models` writes the words of new models itself, all at once: FTS5 would flush its buffer for
each row that a trigger writes, which takes eight times as long.
"""
_JOBS = (
    # the name of the dataset, for an order; it is not in the checksum of a row
    "ALTER TABLE jobs ADD COLUMN dataset_name TEXT",
    "CREATE TABLE job_counts (facet TEXT NOT NULL, value NOT NULL, total INTEGER NOT NULL,"
    " PRIMARY KEY (facet, value)) WITHOUT ROWID",
    # every column that is searched or filtered by, so that no row is read for it
    *(
        f"CREATE INDEX jobs_by_{name} ON jobs ({first}, preset_id, base_model, gpu, created_at)"
        for name, first in (("dataset", "dataset_id, status"), ("status", "status, dataset_id"))
    ),
    *(
        f"CREATE TRIGGER datasets_jobs_{event.split()[0].lower()} AFTER {event} ON datasets BEGIN"
        f" UPDATE jobs SET dataset_name = {name} WHERE dataset_id = {row}.id"
        f" AND dataset_name IS NOT {name}; END"
        for event, row, name in (
            ("INSERT", "new", "new.name"),
            ("UPDATE OF name", "new", "new.name"),
            ("DELETE", "old", "NULL"),
        )
    ),
)
"""The list of jobs, beside an index for each order (jobs.py)."""
