"""Counts models and jobs by each value that one can filter by; updated when they are written.

Counting a hundred thousand models takes longer than a frame. Triggers would make writing 1.5 times
as slow, so all writers of models and of jobs use `keep_counts`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from lora_tui.cache.search import DOWNLOADED_IDS
from lora_tui.clock import microseconds

FACETS: Final = ("dataset_id", "convergence", "stars", "preset_id", "base_model")
"""The columns of models whose values are counted; an unknown value is stored as ''."""
JOB_FACETS: Final = ("status", "dataset_id", "preset_id", "base_model", "gpu")
"""Those of jobs."""


class Counted(NamedTuple):
    """A table whose rows are counted."""

    table: str
    counts: str
    """The table of the counts."""
    facets: tuple[str, ...]


MODELS: Final = Counted("models", "model_counts", FACETS)
JOBS: Final = Counted("jobs", "job_counts", JOB_FACETS)


@contextmanager
def keep_counts(
    db: sqlite3.Connection, ids: Sequence[str], counted: Counted = MODELS
) -> Iterator[None]:
    """Update the counts for rows that the block writes or deletes. Use inside a transaction."""
    changes = Counter({value: -total for value, total in _count(db, ids, counted).items()})
    yield
    changes.update(_count(db, ids, counted))
    add_counts(db, changes, counted)


def add_counts(
    db: sqlite3.Connection, changes: Counter[tuple[str, Any]], counted: Counted = MODELS
) -> None:
    """Add to the counts: (facet, value) → number of rows. Call inside a transaction."""
    db.executemany(
        f"INSERT INTO {counted.counts} VALUES (?, ?, ?)"
        " ON CONFLICT (facet, value) DO UPDATE SET total = total + excluded.total",
        [(*value, change) for value, change in changes.items() if change],
    )


def value_counts(db: sqlite3.Connection, counted: Counted = MODELS) -> dict[str, dict[Any, int]]:
    """Facet → value → number of rows, the most frequent first; None is the unknown value."""
    found: dict[str, dict[Any, int]] = {facet: {} for facet in counted.facets}
    sql = f"SELECT facet, value, total FROM {counted.counts} WHERE total ORDER BY total DESC, value"
    for facet, value, total in db.execute(sql):
        found[facet][None if value == "" else value] = total
    return found


def count_all(db: sqlite3.Connection, counted: Counted = MODELS) -> int:
    """The number of rows: each has one value of each facet."""
    sql = f"SELECT ifnull(sum(total), 0) FROM {counted.counts} WHERE facet = ?"
    return int(db.execute(sql, [counted.facets[0]]).fetchone()[0])


def recount(db: sqlite3.Connection, counted: Counted = MODELS) -> None:
    """Count all rows, however they came to be there. Call inside a transaction."""
    db.execute(f"DELETE FROM {counted.counts}")
    for facet in counted.facets:
        sql = f"SELECT '{facet}', ifnull({facet}, ''), count(*) FROM {counted.table} GROUP BY 2"
        db.execute(f"INSERT INTO {counted.counts} {sql}")


class Facets(NamedTuple):
    """The values that models can be filtered by, each with the number of models that have it."""

    convergences: dict[str, int]
    stars: dict[int | None, int]
    datasets: dict[str, int]
    """By name; datasets that the cache does not know are left out."""
    presets: dict[str | None, int]
    base_models: dict[str | None, int]
    downloaded: int


class JobFacets(NamedTuple):
    """The values that jobs can be filtered by, each with the number of jobs that have it."""

    statuses: dict[str, int]
    datasets: dict[str, int]
    """By name; datasets that the cache does not know are left out."""
    presets: dict[str | None, int]
    base_models: dict[str | None, int]
    gpus: dict[str | None, int]


def job_facets(db: sqlite3.Connection) -> JobFacets:
    """Every value that a filter of jobs can be set to; the most frequent first."""
    found = value_counts(db, JOBS)
    return JobFacets(
        statuses=found["status"],
        datasets=_by_name(db, found["dataset_id"]),
        presets=found["preset_id"],
        base_models=found["base_model"],
        gpus=found["gpu"],
    )


def facet_counts(db: sqlite3.Connection) -> Facets:
    """Every value that a filter can be set to; the most frequent first."""
    found = value_counts(db)
    (downloaded,) = db.execute(
        f"SELECT count(*) FROM models WHERE id IN ({DOWNLOADED_IDS})"
    ).fetchone()
    return Facets(
        convergences=found["convergence"],
        stars=found["stars"],
        datasets=_by_name(db, found["dataset_id"]),
        presets=found["preset_id"],
        base_models=found["base_model"],
        downloaded=int(downloaded),
    )


def totals_since(
    db: sqlite3.Connection, moments: Iterable[datetime], counted: Counted = MODELS
) -> list[int]:
    """For each moment, the number of rows that were created at it or later."""
    sql = f"SELECT count(*) FROM {counted.table} WHERE created_at >= ?"
    return [int(db.execute(sql, [microseconds(moment)]).fetchone()[0]) for moment in moments]


def _by_name(db: sqlite3.Connection, counts: Mapping[str | None, int]) -> dict[str, int]:
    """The counts of datasets by their names, of those that are cached."""
    names = dict(tuple(row) for row in db.execute("SELECT id, name FROM datasets"))
    found: Counter[str] = Counter()
    for dataset_id, total in counts.items():
        if dataset_id in names:
            found[names[dataset_id]] += total
    return dict(found.most_common())


def _count(
    db: sqlite3.Connection, ids: Sequence[str], counted: Counted
) -> Counter[tuple[str, Any]]:
    columns = ", ".join(f"ifnull({facet}, '')" for facet in counted.facets)
    sql = f"SELECT {columns} FROM {counted.table} WHERE id IN (SELECT value FROM json_each(?))"
    rows = db.execute(sql, [json.dumps(ids)])
    return Counter(pair for row in rows for pair in zip(counted.facets, row, strict=True))
