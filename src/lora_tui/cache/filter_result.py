"""Finds the models that match a search and filters, and keeps the result for the connection.

The numbers of the matching models are stored in a temporary table, which serves the windows of a
list, its length and the position of a model. It is rebuilt when the query or the cache changes.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from lora_tui.cache.full_text import select_numbers
from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.clock import microseconds

DOWNLOADED_IDS: Final = "SELECT model_id FROM library WHERE intact"
"""SQL: the ids of the models whose files are all on this disk."""


def find_matches(db: sqlite3.Connection, query: ModelQuery) -> int:
    """Fill `temp.matches` (n) with the numbers of the matching models; returns how many match."""
    question = repr(query._replace(sort=Sort.CREATED, reverse=False))
    (version,) = db.execute("PRAGMA data_version").fetchone()
    db.execute("CREATE TEMP TABLE IF NOT EXISTS matches (n INTEGER PRIMARY KEY)")
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS matches_of (question TEXT, version INTEGER,"
        " changes INTEGER, total INTEGER)"
    )
    kept = db.execute("SELECT question, version, changes, total FROM temp.matches_of").fetchone()
    if kept is not None and tuple(kept)[:3] == (question, version, db.total_changes):
        return int(kept[3])
    db.execute("DELETE FROM temp.matches_of")
    db.execute("DELETE FROM temp.matches")
    sql, values = _select(db, query)
    total = db.execute(f"INSERT INTO temp.matches {sql}", values).rowcount
    db.execute(
        "INSERT INTO temp.matches_of VALUES (?, ?, ?, ?)",
        [question, version, db.total_changes + 1, total],
    )
    return total


def _select(db: sqlite3.Connection, query: ModelQuery) -> tuple[str, list[object]]:
    words, word_values = select_numbers(db, query.search)
    filters, filter_values = _filters(query)
    if not filters:
        return words or "SELECT n FROM models", word_values
    sql = f"SELECT m.n FROM models m INDEXED BY models_filters WHERE {' AND '.join(filters)}"
    if words:
        sql += f" AND m.n IN ({words})"
    return f"{sql} ORDER BY m.n", [*filter_values, *word_values]


def _filters(query: ModelQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if query.convergences:
        marks = ", ".join("?" for _ in query.convergences)
        conditions.append(f"m.convergence IN ({marks})")
        values.extend(sorted(query.convergences))
    if query.min_stars:
        conditions.append("m.stars >= ?")
        values.append(query.min_stars)
    if query.dataset:
        conditions.append(
            "m.dataset_id IN (SELECT id FROM datasets WHERE name = ? UNION ALL SELECT ?)"
        )
        values.extend([query.dataset, query.dataset])
    for column, value in (("preset_id", query.preset), ("base_model", query.base_model)):
        if value:
            conditions.append(f"m.{column} = ?")
            values.append(value)
    if query.created_from:
        conditions.append("m.created_at >= ?")
        values.append(microseconds(query.created_from))
    if query.created_before:
        conditions.append("m.created_at < ? AND m.created_at <> 0")
        values.append(microseconds(query.created_before))
    if query.downloaded is not None:
        conditions.append(
            f"m.n {'' if query.downloaded else 'NOT '}IN"
            f" (SELECT n FROM models WHERE id IN ({DOWNLOADED_IDS}))"
        )
    return conditions, values
