"""Orders of the models by a column that has no index: sorted once, then read by position.

An index would make each sync slower. To sort takes 60 ms for 100,000 models and 0.7 s for a
million (benchmarks/bench_queries.py), and the numbers of a million take 8 MB. Unknown values come
last in both directions, then the newest first; models of runs that broke down have no losses here,
as `reports/best.py` ranks none of them.
"""

from __future__ import annotations

import sqlite3
from array import array
from typing import Final, NamedTuple

from lora_tui.cache.facets import count_all
from lora_tui.cache.model_columns import Kind, ModelColumn, column_of, tables_of
from lora_tui.cache.model_query import ModelQuery, is_indexed, natural_direction
from lora_tui.cache.search import find_matches

QUICKLY_SORTED: Final = 20_000
"""So many models are sorted within a frame."""


class SortedModels(NamedTuple):
    """The numbers of all models that match a query, in its order."""

    query: ModelQuery
    numbers: array[int]


def needs_sorting(db: sqlite3.Connection, query: ModelQuery) -> bool:
    """Whether `ModelList(db, query)` would keep a screen waiting: many models are to be sorted.

    Then let a thread call `sort_models` with a connection of its own (`BaseScreen.read`), say so
    while it lasts, and give the result to `ModelList(db, query, found)`. A list that is shown
    already keeps its order meanwhile, also while the cache changes.
    """
    if is_indexed(query.sort) or _kept(db, query) is not None:
        return False
    total = count_all(db) if query.is_everything else find_matches(db, query)
    return total > QUICKLY_SORTED


def sort_models(db: sqlite3.Connection, query: ModelQuery) -> SortedModels:
    """Sort the models that match by a column without an index.

    The result is kept for this connection until the cache changes. Raises UsageError where there is
    no such column, or the condition is none.
    """
    kept = _kept(db, query)
    if kept is not None:
        return kept
    column = column_of(query.sort)
    direction = "DESC" if natural_direction(query.sort) is not query.reverse else "ASC"
    value = _sorted_value(column)
    tables = tables_of(value).replace(*_PLACED)
    if not query.is_everything:
        find_matches(db, query)
        tables = tables.replace("model_values v", _MATCHES, 1)
    sql = (
        f"SELECT v.n FROM {tables}"
        f" ORDER BY {value} IS NULL, {value}{_collation(column)} {direction},"
        " v.created_at DESC, v.n"
    )
    found = SortedModels(query, array("q", (row[0] for row in db.execute(sql))))
    _keep(db, found)
    return found


_PLACED: Final = (
    "datasets d ON",
    "(SELECT id, dense_rank() OVER (ORDER BY nullif(name, '') COLLATE NOCASE) AS place"
    " FROM datasets) d ON",
)
"""The few datasets are sorted by name first, so that numbers are compared for the many models."""
_MATCHES: Final = "temp.matches x CROSS JOIN model_values v ON v.n = x.n"


def _sorted_value(column: ModelColumn) -> str:
    if column.sql == "d.name":
        return "d.place"
    if column.broken_last:
        return f"CASE WHEN NOT v.broken THEN {column.sql} END"
    return f"nullif({column.sql}, '')" if column.kind in (Kind.TEXT, Kind.TAGS) else column.sql


def _collation(column: ModelColumn) -> str:
    return " COLLATE NOCASE" if column.kind in (Kind.TEXT, Kind.TAGS) else ""


def _state(db: sqlite3.Connection, query: ModelQuery) -> tuple[str, int, int]:
    (version,) = db.execute("PRAGMA data_version").fetchone()
    return repr(query), version, db.total_changes


def _kept(db: sqlite3.Connection, query: ModelQuery) -> SortedModels | None:
    there = "SELECT 1 FROM temp.sqlite_master WHERE name = 'sorted_models'"
    if db.execute(there).fetchone() is None:
        return None
    sql = (
        "SELECT numbers FROM temp.sorted_models"
        " WHERE (question, version, changes) IS (VALUES (?, ?, ?))"
    )
    found = db.execute(sql, _state(db, query)).fetchone()
    if found is None:
        return None
    numbers = array("q")
    numbers.frombytes(found[0])
    return SortedModels(query, numbers)


def _keep(db: sqlite3.Connection, found: SortedModels) -> None:
    # a new table each time: an INSERT would count as a change, and make the matches be found again
    db.execute("DROP TABLE IF EXISTS temp.sorted_models")
    db.execute(
        "CREATE TEMP TABLE sorted_models AS"
        " SELECT ? AS question, ? AS version, ? AS changes, ? AS numbers",
        [*_state(db, found.query), found.numbers.tobytes()],
    )
