"""How many models have which value of what one filters by, kept as the models are written.

Counting a hundred thousand takes longer than a frame. Triggers would keep the counts too, but make
writing take half as long again; so all writers of models go through `counted`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

FACETS: Final = ("dataset_id", "convergence", "stars", "preset_id", "base_model")
"""The columns of models whose values are counted; an unknown value is kept as ''."""


@contextmanager
def counted(db: sqlite3.Connection, ids: Sequence[str]) -> Iterator[None]:
    """Write or delete these models within. Call inside the transaction that does."""
    changes = Counter({value: -total for value, total in _count(db, ids).items()})
    yield
    changes.update(_count(db, ids))
    db.executemany(
        "INSERT INTO model_counts VALUES (?, ?, ?)"
        " ON CONFLICT (facet, value) DO UPDATE SET total = total + excluded.total",
        [(*value, change) for value, change in changes.items() if change],
    )


def count_anew(db: sqlite3.Connection) -> None:
    """Count all models, however they came to be there. Call inside a transaction."""
    db.execute("DELETE FROM model_counts")
    for facet in FACETS:
        sql = f"SELECT '{facet}', ifnull({facet}, ''), count(*) FROM models GROUP BY 2"
        db.execute(f"INSERT INTO model_counts {sql}")


def counts(db: sqlite3.Connection) -> dict[str, dict[Any, int]]:
    """By facet and value, the most frequent first; None is the unknown value."""
    found: dict[str, dict[Any, int]] = {facet: {} for facet in FACETS}
    sql = "SELECT facet, value, total FROM model_counts WHERE total ORDER BY total DESC, value"
    for facet, value, total in db.execute(sql):
        found[facet][None if value == "" else value] = total
    return found


def count_all(db: sqlite3.Connection) -> int:
    """How many models there are: each has one value of each facet."""
    sql = "SELECT ifnull(sum(total), 0) FROM model_counts WHERE facet = 'convergence'"
    return int(db.execute(sql).fetchone()[0])


def _count(db: sqlite3.Connection, ids: Sequence[str]) -> Counter[tuple[str, Any]]:
    columns = ", ".join(f"ifnull({facet}, '')" for facet in FACETS)
    sql = f"SELECT {columns} FROM models WHERE id IN (SELECT value FROM json_each(?))"
    rows = db.execute(sql, [json.dumps(ids)])
    return Counter(pair for row in rows for pair in zip(FACETS, row, strict=True))
