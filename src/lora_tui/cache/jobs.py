"""Training jobs in the cache: how they are written, one job, and the list of all of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui.cache.records import moment_text, put_rows, row_of
from lora_tui.cache.search import id_prefix
from lora_tui.cache.sums import SUMMED, columns_of
from lora_tui.clock import microseconds
from lora_tui.json_values import parse_json, row_json

if TYPE_CHECKING:
    from lora_tui.domain import Job, Row

NOT_FOUND: Final = "Job not found or access denied"
"""The two are not distinguished."""
RUNNING: Final = ("running", "initializing")
QUEUED: Final = ("queued",)
FINISHED: Final = ("completed", "failed", "cancelled")
STATUSES: Final = (*RUNNING, *QUEUED, *FINISHED)


class Activity:
    """How the list is grouped: what runs comes first, then what waits."""

    RUNNING = 0
    QUEUED = 1
    ENDED = 2


class JobSort(StrEnum):
    """What the list can be sorted by."""

    ACTIVITY = "activity"
    """What runs first, then what waits, then what has ended; in each the newest first."""
    CREATED = "created"
    STATUS = "status"
    DATASET = "dataset"
    COST = "cost"
    DURATION = "duration"
    LOSS = "loss"


class JobQuery(NamedTuple):
    """Filters and an order. `reverse` reverses the natural direction of `sort`."""

    sort: JobSort = JobSort.ACTIVITY
    reverse: bool = False
    search: str = ""
    """Words; each must be in the dataset, base model, preset, GPU or status, or begin the id."""
    statuses: frozenset[str] = frozenset()
    dataset: str = ""
    """A dataset's id or exact name."""
    preset: str = ""
    base_model: str = ""
    gpu: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None


class JobSummary(NamedTuple):
    """One line of the list."""

    job: Job
    """With the name of its dataset, if that is cached."""
    sparkline: tuple[float, ...]
    """Down-sampled training loss; empty if it is not cached."""


_ORDERS: Final = {
    # expression, whether its natural direction is descending
    JobSort.ACTIVITY: ("j.activity", False),
    JobSort.CREATED: ("j.created_at", True),
    JobSort.STATUS: ("j.status", False),
    JobSort.DATASET: ("d.name COLLATE NOCASE", False),
    JobSort.COST: ("j.cost", True),
    JobSort.DURATION: ("j.duration_hours", True),
    JobSort.LOSS: ("j.loss", False),
}
_FROM: Final = "FROM jobs j LEFT JOIN datasets d ON d.id = j.dataset_id"
_SUMMARY: Final = (
    "SELECT j.rowid, d.name, (SELECT c.sparkline FROM curves c WHERE c.job_id = j.id),"
    f" {columns_of('jobs', 'j')} {_FROM}"
)


class JobList:
    """The result of a query: jobs by their position, from 0.

    `total` is counted once; make a new list when the cache has changed.
    """

    def __init__(self, db: sqlite3.Connection, query: JobQuery) -> None:
        self._db = db
        expression, descends = _ORDERS[query.sort]
        direction = "DESC" if descends is not query.reverse else "ASC"
        condition, values = _conditions(query)
        sql = (
            f"SELECT j.rowid, j.id {_FROM} WHERE {condition}"
            f" ORDER BY {expression} IS NULL, {expression} {direction}, j.created_at DESC, j.id"
        )
        found = db.execute(sql, values).fetchall()
        self._numbers = [row[0] for row in found]
        self._places = {str(row[1]): place for place, row in enumerate(found)}

    @property
    def total(self) -> int:
        """The number of jobs."""
        return len(self._numbers)

    def window(self, offset: int, limit: int) -> list[JobSummary]:
        """At most `limit` jobs from `offset` on, without those that were deleted meanwhile."""
        numbers = self._numbers[offset : offset + limit]
        sql = f"{_SUMMARY} WHERE j.rowid IN (SELECT value FROM json_each(?))"
        found = {
            row[0]: _summary(row) for row in self._db.execute(sql, [json.dumps(numbers)]).fetchall()
        }
        return [found[number] for number in numbers if number in found]

    def position(self, job_id: str) -> int | None:
        """The position of a job; None if it is not in the list."""
        return self._places.get(job_id)


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
        f"{_SUMMARY} WHERE j.id >= ? AND j.id < ? || 'g' ORDER BY j.created_at DESC, j.id LIMIT 20"
    )
    return [_summary(row) for row in db.execute(sql, [beginning, beginning])]


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
    put_rows(db, "jobs", [_columns(row) for row in rows])


def rewrite_jobs(db: sqlite3.Connection) -> None:
    """Fill columns that a migration has added. Call inside a transaction."""
    for (row,) in db.execute("SELECT row FROM jobs").fetchall():
        put_jobs(db, [parse_json(row)])


def _columns(row: Row) -> tuple[object, ...]:
    from lora_tui.domain import Job

    job = Job.from_row(row)
    return (
        job.id,
        row_json(row),
        job.status,
        job.external_job_id,
        job.artifact_id,
        moment_text(row, "completed_at"),
        moment_text(row, "updated_at"),
        _activity(job.status),
        job.dataset_id,
        job.preset_id,
        job.hyperparameters.base_model,
        job.gpu.type,
        microseconds(job.queued_at or job.created_at),
        job.cost,
        job.duration_hours,
        job.training_loss,
    )


def _activity(status: str) -> int:
    if status in RUNNING:
        return Activity.RUNNING
    return Activity.QUEUED if status in QUEUED else Activity.ENDED


def _summary(row: Sequence[object]) -> JobSummary:
    from lora_tui.domain import Job

    _, name, sparkline, *values = row
    read = row_of(values)
    job = Job.from_row({**read, "dataset": {"name": name} if name else None})
    return JobSummary(job, tuple(json.loads(str(sparkline))) if sparkline else ())


def _conditions(query: JobQuery) -> tuple[str, list[object]]:
    """The condition on a row, as SQL, with the values of its parameters."""
    parts, values = ["1"], list[object]()

    def add(condition: str, *of: object) -> None:
        parts.append(condition)
        values.extend(of)

    if query.statuses:
        add("j.status IN (SELECT value FROM json_each(?))", json.dumps(sorted(query.statuses)))
    if query.dataset:
        add("(j.dataset_id = ? OR d.name = ?)", query.dataset, query.dataset)
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
        add("j.created_at < ?", microseconds(query.created_before))
    for word in query.search.casefold().split():
        add(
            "(instr(lower(coalesce(d.name, '') || ' ' || coalesce(j.base_model, '') || ' ' ||"
            " coalesce(j.preset_id, '') || ' ' || coalesce(j.gpu, '') || ' ' || j.status), ?) > 0"
            " OR substr(j.id, 1, length(?)) = ?)",
            word,
            word,
            word,
        )
    return " AND ".join(parts), values
