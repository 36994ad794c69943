"""Counts the models by each value that one can filter by; updated when models are written.

Counting a hundred thousand models takes longer than a frame. Triggers would make writing 1.5 times
as slow, so all writers of models use `keep_counts`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from lora_tui.cache.search import DOWNLOADED_IDS
from lora_tui.clock import microseconds

FACETS: Final = ("dataset_id", "convergence", "stars", "preset_id", "base_model")
"""The columns of models whose values are counted; an unknown value is stored as ''."""


@contextmanager
def keep_counts(db: sqlite3.Connection, ids: Sequence[str]) -> Iterator[None]:
    """Update the counts for models that the block writes or deletes. Use inside a transaction."""
    changes = Counter({value: -total for value, total in _count(db, ids).items()})
    yield
    changes.update(_count(db, ids))
    db.executemany(
        "INSERT INTO model_counts VALUES (?, ?, ?)"
        " ON CONFLICT (facet, value) DO UPDATE SET total = total + excluded.total",
        [(*value, change) for value, change in changes.items() if change],
    )


def value_counts(db: sqlite3.Connection) -> dict[str, dict[Any, int]]:
    """Facet → value → number of models, the most frequent first; None is the unknown value."""
    found: dict[str, dict[Any, int]] = {facet: {} for facet in FACETS}
    sql = "SELECT facet, value, total FROM model_counts WHERE total ORDER BY total DESC, value"
    for facet, value, total in db.execute(sql):
        found[facet][None if value == "" else value] = total
    return found


def count_all(db: sqlite3.Connection) -> int:
    """The number of models: each has one value of each facet."""
    sql = "SELECT ifnull(sum(total), 0) FROM model_counts WHERE facet = 'convergence'"
    return int(db.execute(sql).fetchone()[0])


class Facets(NamedTuple):
    """The values that models can be filtered by, each with the number of models that have it."""

    convergences: dict[str, int]
    stars: dict[int | None, int]
    datasets: dict[str, int]
    """By name; datasets that the cache does not know are left out."""
    presets: dict[str | None, int]
    base_models: dict[str | None, int]
    downloaded: int


def facet_counts(db: sqlite3.Connection) -> Facets:
    """Every value that a filter can be set to; the most frequent first."""
    found = value_counts(db)
    names = dict(tuple(row) for row in db.execute("SELECT id, name FROM datasets"))
    datasets: Counter[str] = Counter()
    for dataset_id, total in found["dataset_id"].items():
        if dataset_id in names:
            datasets[names[dataset_id]] += total
    (downloaded,) = db.execute(
        f"SELECT count(*) FROM models WHERE id IN ({DOWNLOADED_IDS})"
    ).fetchone()
    return Facets(
        convergences=found["convergence"],
        stars=found["stars"],
        datasets=dict(datasets.most_common()),
        presets=found["preset_id"],
        base_models=found["base_model"],
        downloaded=int(downloaded),
    )


def totals_since(db: sqlite3.Connection, moments: Iterable[datetime]) -> list[int]:
    """For each moment, the number of models that were created at it or later."""
    sql = "SELECT count(*) FROM models WHERE created_at >= ?"
    return [int(db.execute(sql, [microseconds(moment)]).fetchone()[0]) for moment in moments]


def _count(db: sqlite3.Connection, ids: Sequence[str]) -> Counter[tuple[str, Any]]:
    columns = ", ".join(f"ifnull({facet}, '')" for facet in FACETS)
    sql = f"SELECT {columns} FROM models WHERE id IN (SELECT value FROM json_each(?))"
    rows = db.execute(sql, [json.dumps(ids)])
    return Counter(pair for row in rows for pair in zip(FACETS, row, strict=True))
