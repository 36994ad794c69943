"""Checks a whole cache file: its structure, its checksums, and the values derived from its rows.

SQLite finds a broken structure and indexes that differ from their table. Our checksums (sums.py)
find altered values. Derived values are computed again and compared.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from lora_tui import clock
from lora_tui.cache import metadata
from lora_tui.cache.connection import path_of, transaction
from lora_tui.cache.drawing import sum_of_points
from lora_tui.cache.facets import JOBS, MODELS, value_counts
from lora_tui.cache.model_values import COPIED
from lora_tui.cache.search import has_word_index
from lora_tui.cache.sums import SUMMED, columns_of, matches_checksum, schema_sum, table_sums
from lora_tui.cache.transfer_queue import TransferState
from lora_tui.clock import timestamp_text
from lora_tui.errors import DamagedCacheError
from lora_tui.sqlite_file import sqlite_code

_KINDS: Final = {
    "facts": {"key": "text", "value": "text"},
    "marks": {"name": "text", "moment": "text", "id": "text"},
    "generations": {"topic": "text", "n": "integer"},
    "library": {"model_id": "text", "directory": "text", "completed_at": "text"},
    "transfers": {
        "model_id": "text",
        "file": "text",
        "object_path": "text",
        "target": "text",
        "state": "text",
        "bytes_done": "integer",
        "attempts": "integer",
    },
    "deleted_models": {"id": "text", "row": "text", "name": "text", "deleted_at": "text"},
    "metrics": {"job_id": "text", "timestamp": "text", "id": "text"},
}
"""The SQLite type of each column that has no checksum."""


QUICKLY_READ: Final = 64 * 1024 * 1024
"""Bytes; a cache of this size (some 12,000 models) is checked in half a second."""
CHECK_EVERY: Final = timedelta(hours=24)
_CHECKED: Final = "sync.looked_over"


def find_damage(db: sqlite3.Connection) -> str | None:
    """A sentence about the first damage found; None for a healthy cache.

    Raises sqlite3.OperationalError if another process holds a lock.
    """
    try:
        with _snapshot(db):
            damage = next(_damages(db), None)
        if damage is None and has_word_index(db):
            _check_words(db)
        return damage
    except sqlite3.OperationalError as error:
        if sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        return str(error) or type(error).__name__
    except (DamagedCacheError, sqlite3.DatabaseError, ValueError, TypeError) as error:
        return str(error) or type(error).__name__


@contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """One state of the cache for all that is read in the block: runs that go on add points."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def check_integrity(db: sqlite3.Connection) -> None:
    """Raise DamagedCacheError if the cache is damaged."""
    damage = find_damage(db)
    if damage is not None:
        raise DamagedCacheError("The cache file is damaged", details=damage)


def check_if_due(db: sqlite3.Connection) -> None:
    """Check a small cache; a large one once a day, or after a sync that was killed.

    Call it with the lock of a sync, so that no other sync runs. Raises DamagedCacheError if the
    cache is damaged.
    """
    if path_of(db).stat().st_size > QUICKLY_READ:
        was_killed = metadata.get_value(db, "sync.running") is not None
        if not was_killed and not metadata.is_due(db, _CHECKED, CHECK_EVERY):
            return
        with transaction(db):
            metadata.put_value(db, _CHECKED, timestamp_text(clock.now()))
    check_integrity(db)


def _damages(db: sqlite3.Connection) -> Iterator[str]:
    (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        yield str(verdict)
    kept = table_sums(db)
    if kept["schema"] != (0, schema_sum(db)):
        yield "the schema differs from the one that was written"
    for table in SUMMED:
        rows, total = 0, 0
        for row in db.execute(f"SELECT {columns_of(table, 't')} FROM {table} t"):
            if row[-1] is None or not matches_checksum(row):
                yield f"a row of {table} does not match its checksum"
            rows, total = rows + 1, total + row[-1]
        if table in kept and kept[table] != (rows, total):
            yield f"rows of {table} are missing or out of date"
    yield from _derived(db)
    for table, kinds in _KINDS.items():
        wrong = " OR ".join(f"typeof({name}) <> '{kind}'" for name, kind in kinds.items())
        if db.execute(f"SELECT 1 FROM {table} WHERE {wrong}").fetchone():
            yield f"{table} holds values of the wrong type"
    states = ", ".join(f"'{state.value}'" for state in TransferState)
    if db.execute(f"SELECT 1 FROM transfers WHERE state NOT IN ({states})").fetchone():
        yield "a transfer has an unknown state"


def _derived(db: sqlite3.Connection) -> Iterator[str]:
    for counted in (MODELS, JOBS):
        kept = value_counts(db, counted)
        for facet in counted.facets:
            sql = f"SELECT {facet}, count(*) FROM {counted.table} GROUP BY 1"
            there = dict(tuple(row) for row in db.execute(sql))
            there[None] = there.pop("", 0) + there.get(None, 0)
            if {value: n for value, n in there.items() if n} != kept[facet]:
                yield f"the counts of {counted.table} are wrong"
    sql = (
        "SELECT 1 FROM jobs j LEFT JOIN datasets d ON d.id = j.dataset_id"
        " WHERE j.dataset_name IS NOT d.name"
    )
    if db.execute(sql).fetchone():
        yield "a job has the wrong name of its dataset"
    sql = (
        "SELECT 1 FROM models m LEFT JOIN model_values v ON v.n = m.n WHERE v.n IS NULL"
        f" OR {' OR '.join(f'v.{name} IS NOT m.{name}' for name in COPIED)} LIMIT 1"
    )
    (models,) = db.execute("SELECT count(*) FROM models").fetchone()
    (valued,) = db.execute("SELECT count(*) FROM model_values").fetchone()
    if models != valued or db.execute(sql).fetchone():
        yield "the values of a model differ from its row"
    if has_word_index(db):
        sql = (
            "SELECT 1 FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id"
            " LEFT JOIN models_words w ON w.rowid = m.n WHERE w.rowid IS NULL OR"
            " (w.name, w.dataset, w.base_model, w.description)"
            " IS NOT (m.name, d.name, m.base_model, m.description)"
        )
        (words,) = db.execute("SELECT count(*) FROM models_words").fetchone()
        if models != words or db.execute(sql).fetchone():
            yield "the search index does not match the models"
    for job_id, total, points, sparkline, points_sum in db.execute(
        "SELECT job_id, total, points, sparkline, points_sum FROM curves"
    ):
        json.loads(points), json.loads(sparkline)
        if points_sum is not None and (total, points_sum) != sum_of_points(db, job_id):
            yield "the points of a curve do not match their checksum"


def _check_words(db: sqlite3.Connection) -> None:
    """FTS5's own check of its index, which is an INSERT. Raises sqlite3.DatabaseError."""
    try:
        db.execute("INSERT INTO models_words (models_words) VALUES ('integrity-check')")
    except sqlite3.OperationalError as error:
        if sqlite_code(error) != sqlite3.SQLITE_READONLY:
            raise
    finally:
        if db.in_transaction and db.isolation_level is not None:
            db.rollback()  # Python opens one here, unless autocommit is on as in `open_cache`
