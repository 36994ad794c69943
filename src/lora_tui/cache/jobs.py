"""Training jobs in the cache: how they are written, one job, and the list of all of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui.cache.facets import JOBS, count_all, keep_counts
from lora_tui.cache.job_query import JobQuery, JobSort, order_of
from lora_tui.cache.keyset import KeysetList, keep_matches
from lora_tui.cache.records import delete_records, moment_text, put_rows, row_of
from lora_tui.cache.search import MOST_NAMED, id_prefix
from lora_tui.cache.sums import SUMMED, columns_of
from lora_tui.clock import microseconds, parse_timestamp, timestamp_text
from lora_tui.json_values import (
    first_of,
    identifier,
    mapping,
    number,
    parse_json,
    row_json,
    text_or_none,
)

if TYPE_CHECKING:
    from lora_tui.domain import Job, Row

NOT_FOUND: Final = "Job not found or access denied"
"""The two are not distinguished."""


class Activity:
    """Values of the column `activity`: the list shows what runs first, then what waits."""

    RUNNING = 0
    QUEUED = 1
    ENDED = 2


class Fate:
    """Values of the column `fate`: how sums of costs tell jobs apart (costs.py)."""

    COMPLETED = 0
    """Also a job whose status is unknown."""
    FAILED = 1
    """Or cancelled."""
    RUNNING = 2
    QUEUED = 3


class JobSummary(NamedTuple):
    """One line of the list."""

    job: Job
    """With the name of its dataset and the losses of its newest points, if these are cached."""
    sparkline: tuple[float, ...]
    """Down-sampled training loss; empty if it is not cached."""


_FROM: Final = "FROM jobs j LEFT JOIN datasets d ON d.id = j.dataset_id"
_SUMMARY: Final = (
    "SELECT j.rowid, d.name, c.sparkline, c.newest_step, c.newest_loss, c.newest_validation,"
    f" {columns_of('jobs', 'j')} {_FROM} LEFT JOIN curves c ON c.job_id = j.id"
)


class JobList(KeysetList):
    """The result of a query: jobs by their position, from 0.

    `total` is counted once; make a new list when the cache has changed.
    """

    def __init__(self, db: sqlite3.Connection, query: JobQuery) -> None:
        self._query = query
        super().__init__(
            db,
            order_of(query.sort, reverse=query.reverse),
            total=count_all(db, JOBS) if query.is_everything else _find_matches(db, query),
            matches=None if query.is_everything else "temp.job_matches",
        )

    def window(self, offset: int, limit: int) -> list[JobSummary]:
        """At most `limit` jobs from `offset` on, without those that were deleted meanwhile."""
        numbers = self.numbers(offset, limit)
        sql = f"{_SUMMARY} WHERE j.rowid IN (SELECT value FROM json_each(?))"
        found = {
            row[0]: _summary(row) for row in self._db.execute(sql, [json.dumps(numbers)]).fetchall()
        }
        return [found[number] for number in numbers if number in found]

    def _refresh_matches(self) -> None:
        if not self._query.is_everything:
            _find_matches(self._db, self._query)


def get_job(db: sqlite3.Connection, job_id: str) -> JobSummary | None:
    """One job; None if it is not in the cache."""
    found = db.execute(f"{_SUMMARY} WHERE j.id = ?", [job_id]).fetchone()
    return None if found is None else _summary(found)


def job_rows(
    db: sqlite3.Connection, ids: Sequence[str], dataset_keys: Sequence[str] = ("name",)
) -> list[dict[str, Any]]:
    """The backend's rows of the jobs that are in the cache, in this order.

    Each has those keys of its dataset as `dataset`; None if that is not cached.
    """
    sql = (
        f"SELECT {columns_of('jobs', 'j')}, {columns_of('datasets', 'd')} {_FROM}"
        " WHERE j.id IN (SELECT value FROM json_each(?))"
    )
    found: dict[str, dict[str, Any]] = {}
    width = len(SUMMED["jobs"]) + 1
    for values in db.execute(sql, [json.dumps(list(ids))]):
        row, dataset = row_of(values[:width]), None
        if values[width] is not None:
            described = row_of(values[width:])
            dataset = {key: described.get(key) for key in dataset_keys}
        found[str(values[0])] = {**row, "dataset": dataset}
    return [found[job_id] for job_id in ids if job_id in found]


def find_jobs(db: sqlite3.Connection, reference: str) -> list[JobSummary]:
    """The jobs that `reference` names: by an id or the beginning of one; the newest first."""
    beginning = id_prefix(reference)
    exact = get_job(db, beginning or reference.strip().lower())
    if exact is not None:
        return [exact]
    if beginning is None:
        return []
    sql = (
        f"{_SUMMARY} WHERE j.id >= ? AND j.id < ? || 'g'"
        f" ORDER BY j.created_at DESC, j.id LIMIT {MOST_NAMED}"
    )
    return [_summary(row) for row in db.execute(sql, [beginning, beginning])]


def dataset_names(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str | None]:
    """Of the jobs with these ids that are in the cache, the names of their datasets."""
    sql = f"SELECT j.id, d.name {_FROM} WHERE j.id IN (SELECT value FROM json_each(?))"
    return dict(tuple(row) for row in db.execute(sql, [json.dumps(list(ids))]))


def running_jobs(db: sqlite3.Connection) -> list[str]:
    """The ids of the jobs that run, the newest first."""
    sql = "SELECT id FROM jobs WHERE activity = ? ORDER BY created_at DESC, id"
    return [str(row[0]) for row in db.execute(sql, [Activity.RUNNING])]


def count_active(db: sqlite3.Connection) -> tuple[int, int]:
    """How many jobs run, and how many wait."""
    sql = "SELECT activity, count(*) FROM jobs WHERE activity < ? GROUP BY activity"
    counts = dict(db.execute(sql, [Activity.ENDED]).fetchall())
    return counts.get(Activity.RUNNING, 0), counts.get(Activity.QUEUED, 0)


def jobs_without_model(db: sqlite3.Connection, *, limit: int) -> list[Job]:
    """Completed jobs without a model, the oldest first."""
    sql = (
        f"{_SUMMARY} WHERE j.status = 'completed' AND j.artifact_id IS NULL"
        " AND j.external_job_id IS NOT NULL ORDER BY j.completed_at, j.id LIMIT ?"
    )
    return [_summary(row).job for row in db.execute(sql, [limit])]


def put_jobs(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace training jobs. Call inside a transaction."""
    values = [columns(row) for row in rows]
    names = dict(
        tuple(found)
        for found in db.execute(
            "SELECT id, name FROM datasets WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(list({value[_DATASET] for value in values}))],
        )
    )
    with keep_counts(db, [str(value[0]) for value in values], JOBS):
        others: dict[str, list[object]] = {
            "dataset_name": [names.get(value[_DATASET]) for value in values],
            "micros": [_micros(value[_COST]) for value in values],
            "fate": [_fate(value[_STATUS]) for value in values],
        }
        put_rows(db, "jobs", values, others)


def fill_sums(db: sqlite3.Connection) -> None:
    """Fill the columns that costs are summed from. Call inside a transaction."""
    found = db.execute("SELECT cost, status, id FROM jobs").fetchall()
    db.executemany(
        "UPDATE jobs SET micros = ?, fate = ? WHERE id = ?",
        [(_micros(cost), _fate(status), job_id) for cost, status, job_id in found],
    )


def _micros(cost: object) -> int | None:
    from lora_tui.domain.cost_records import micro_dollars

    return micro_dollars(cost) if isinstance(cost, float | int) else None


def _fate(status: object) -> int:
    if status in ("failed", "cancelled"):
        return Fate.FAILED
    fates = {Activity.RUNNING: Fate.RUNNING, Activity.QUEUED: Fate.QUEUED}
    return fates.get(_activity(str(status)), Fate.COMPLETED)


def delete_jobs(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Delete training jobs. Call inside a transaction."""
    with keep_counts(db, ids, JOBS):
        delete_records(db, "jobs", ids)


def rewrite_jobs(db: sqlite3.Connection) -> None:
    """Fill columns that a migration has added. Call inside a transaction."""
    ids = [str(row[0]) for row in db.execute("SELECT id FROM jobs")]
    for start in range(0, len(ids), _REWRITTEN):
        chosen = json.dumps(ids[start : start + _REWRITTEN])
        sql = "SELECT row FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
        put_jobs(db, [parse_json(row) for (row,) in db.execute(sql, [chosen]).fetchall()])


_COST: Final = SUMMED["jobs"].index("cost")
_STATUS: Final = SUMMED["jobs"].index("status")
_DATASET: Final = SUMMED["jobs"].index("dataset_id")
_REWRITTEN: Final = 1_000
"""So many jobs are rewritten at once."""


def columns(row: Row) -> tuple[object, ...]:
    """The values of the columns, as `Job.from_row` reads them, which takes three times as long."""
    settings, gpu = mapping(row.get("hyperparameters")), mapping(row.get("gpu_config"))
    status = text_or_none(row.get("status"), limit=20) or "unknown"
    completed = parse_timestamp(row.get("completed_at"))
    started = completed and parse_timestamp(row.get("started_at"))
    hours = (completed - started).total_seconds() / 3600 if completed and started else -1.0
    final = number(row.get("final_cost"))
    queued = parse_timestamp(row.get("queued_at")) or parse_timestamp(row.get("created_at"))
    return (
        identifier(row.get("id")),
        row_json(row),
        status,
        text_or_none(row.get("external_job_id")),
        identifier(row.get("artifact_id")) or None,
        completed and timestamp_text(completed),
        moment_text(row, "updated_at"),
        _activity(status),
        identifier(row.get("dataset_id")),
        text_or_none(row.get("preset_id")),
        text_or_none(first_of(settings, "base_model", "model_name")),
        text_or_none(first_of(gpu, "gpu_type", "type")),
        microseconds(queued),
        number(row.get("current_cost")) if final is None else final,
        hours if hours >= 0 else None,
        number(mapping(row.get("current_metrics")).get("training_loss")),
    )


def _activity(status: str) -> int:
    from lora_tui.domain.job_statuses import QUEUED, RUNNING

    if status in RUNNING:
        return Activity.RUNNING
    return Activity.QUEUED if status in QUEUED else Activity.ENDED


def _summary(row: Sequence[object]) -> JobSummary:
    from lora_tui.domain import Job, NewestValues

    _, name, sparkline, step, loss, validation, *values = row
    read = row_of(values)
    job = Job.from_row({**read, "dataset": {"name": name} if name else None})
    job = job.with_newest(NewestValues(number(step), number(loss), number(validation)))
    return JobSummary(job, tuple(json.loads(str(sparkline))) if sparkline else ())


def _find_matches(db: sqlite3.Connection, query: JobQuery) -> int:
    """Fill `temp.job_matches` (n) with the numbers of the matching jobs; returns how many match."""
    question = repr(
        query._replace(
            sort=JobSort.ACTIVITY,
            reverse=False,
            statuses=frozenset(),
            search=query.search.casefold(),
        )
    )
    question += repr(sorted(query.statuses))
    return keep_matches(db, "job_matches", question, lambda: _select(db, query))


def _select(db: sqlite3.Connection, query: JobQuery) -> tuple[str, list[object]]:
    """A SELECT, with its values, of the numbers of the matching jobs; read from one index alone."""
    parts, values = ["1"], list[object]()

    def add(condition: object, *of: object) -> None:
        parts.append(str(condition))
        values.extend(of)

    if query.statuses:
        add("j.status IN (SELECT value FROM json_each(?))", json.dumps(sorted(query.statuses)))
    if query.dataset:
        add(
            "j.dataset_id IN (SELECT id FROM datasets WHERE name = ? UNION ALL SELECT ?)",
            query.dataset,
            query.dataset,
        )
    for column, wanted in (
        ("preset_id", query.preset),
        ("base_model", query.base_model),
        ("gpu", query.gpu),
    ):
        if wanted:
            add(f"j.{column} = ?", wanted)
    if query.created_from is not None:
        add("j.created_at >= ?", microseconds(query.created_from))
    if query.created_before is not None:
        add("j.created_at < ? AND j.created_at <> 0", microseconds(query.created_before))
    words = list(dict.fromkeys(query.search.casefold().split()[:_MOST_WORDS]))
    texts = _searched(db) if words else ()
    for word in words:
        add(*_holds(word, texts))
    index = "jobs_by_status" if query.statuses else "jobs_by_dataset"
    sql = f"SELECT j.rowid FROM jobs j INDEXED BY {index} WHERE {' AND '.join(parts)}"
    return f"{sql} ORDER BY j.rowid", values


class _Searched(NamedTuple):
    """A value that some job has in a column that is searched."""

    column: str
    value: object
    text: str
    """What of it is searched, in small letters."""


def _searched(db: sqlite3.Connection) -> list[_Searched]:
    """All of them. There are few, so a search compares these and not the texts of each job."""
    sql = (
        "SELECT c.facet, c.value, CASE c.facet WHEN 'dataset_id' THEN d.name ELSE c.value END"
        " FROM job_counts c LEFT JOIN datasets d ON c.facet = 'dataset_id' AND d.id = c.value"
        " WHERE c.total"
    )
    return [
        _Searched(column, value, str(text).casefold())
        for column, value, text in db.execute(sql)
        if text
    ]


def _holds(word: str, texts: Iterable[_Searched]) -> tuple[object, ...]:
    """The condition that a job holds a word, or its id begins with it; and its values."""
    found: dict[str, list[object]] = {}
    for column, value, text in texts:
        if word in text:
            found.setdefault(column, []).append(value)
    conditions = [f"j.{column} IN (SELECT value FROM json_each(?))" for column in found]
    values: list[object] = [json.dumps(chosen) for chosen in found.values()]
    beginning = id_prefix(word)
    if beginning is not None and len(beginning) >= _LEAST_OF_ID:
        conditions.append("j.rowid IN (SELECT rowid FROM jobs WHERE id >= ? AND id < ? || 'g')")
        values += [beginning, beginning]
    return f"({' OR '.join(conditions) or '0'})", *values


_MOST_WORDS: Final = 100
_LEAST_OF_ID: Final = 4
"""Characters; a shorter word would match the beginning of too many ids."""
