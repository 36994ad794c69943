"""Compares the cache with the backend: every row of a user, with every value."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from lora_tui.clock import parse_timestamp

Rows = Callable[..., list[dict[str, Any]]]
"""(table, **PostgREST filters) → rows, past our own code."""

CACHED: Final = {
    "datasets": "datasets",
    "training_jobs": "jobs",
    "model_artifacts": "models",
    "notifications": "notifications",
    "cost_records": "cost_records",
}


def assert_equal(db: sqlite3.Connection, rows: Rows, user_id: str) -> None:
    """Each cached table holds exactly the user's rows; models only those not marked as deleted."""
    for remote, cached in CACHED.items():
        there = {row["id"]: _plain(row) for row in _all(rows, remote, user_id)}
        here = {
            row[0]: _plain(json.loads(row[1]))
            for row in db.execute(f"SELECT id, row FROM {cached}")
        }
        assert here.keys() == there.keys(), remote
        for row_id, row in there.items():
            differing = [key for key in row if here[row_id].get(key) != row[key]]
            assert here[row_id] == row, f"{remote} {row_id}: {', '.join(differing)}"


def _all(rows: Rows, table: str, user_id: str) -> list[dict[str, Any]]:
    everything: list[dict[str, Any]] = []
    filters = {"user_id": f"eq.{user_id}", "order": "id"}
    if table == "model_artifacts":
        filters["deleted_at"] = "is.null"
    while page := rows(table, **filters, offset=str(len(everything))):
        everything += page
    return everything


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Times as moments: a backend may write one moment in several forms."""
    return {
        key: parse_timestamp(value) or value if key.endswith("_at") else value
        for key, value in row.items()
    }
