"""Long lists of jobs: each order uses an index, each window is right, filters have their counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from lora_tui.cache import jobs, keyset, records
from lora_tui.cache.connection import transaction
from lora_tui.cache.facets import job_facets
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.job_query import JobQuery, JobSort
from lora_tui.cache.jobs import JobList
from lora_tui.cache.schema import migrate

STATUSES = ("running", "queued", "completed", "failed")


def row(number: int, **changes: Any) -> dict[str, Any]:
    known = number % 4 > 0
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "dataset_id": f"d{number % 3}",
        "preset_id": ("balanced", "aggressive")[number % 2],
        "status": STATUSES[number % 4],
        "created_at": f"2026-11-{number % 7 + 1:02}T00:00:00+00:00",
        "started_at": "2026-11-20T00:00:00Z",
        "completed_at": f"2026-11-20T0{number % 5}:00:00Z" if known else None,
        "final_cost": number % 5 if known else None,
        "current_metrics": {"training_loss": number % 6} if known else None,
        "gpu_config": {"type": "H100"} if number % 5 else None,
        **changes,
    }


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        migrate(connection)
        with transaction(connection):
            names = [{"id": "d0", "name": "beta"}, {"id": "d1", "name": "Alpha"}]
            records.put_datasets(connection, names)
            jobs.put_jobs(connection, [row(number) for number in range(60)])
        yield connection


def sorted_ids(db: sqlite3.Connection, query: JobQuery) -> list[str]:
    """The ids as a plain sort has them."""
    summaries = JobList(db, JobQuery()).window(0, 100)
    numbers = db.execute("SELECT id FROM jobs ORDER BY rowid").fetchall()
    order = {str(number[0]): place for place, number in enumerate(numbers)}

    def key(job: Any) -> Any:
        return {
            JobSort.ACTIVITY: STATUSES.index(job.status)
            if job.status in ("running", "queued")
            else 9,
            JobSort.CREATED: job.created_at,
            JobSort.STATUS: job.status,
            JobSort.DATASET: job.dataset_name and job.dataset_name.lower(),
            JobSort.COST: job.cost,
            JobSort.DURATION: job.duration_hours,
            JobSort.LOSS: job.training_loss,
        }[query.sort]

    falls = query.sort in (JobSort.CREATED, JobSort.COST, JobSort.DURATION)
    found = sorted((summary.job for summary in summaries), key=lambda job: order[job.id])
    found.sort(key=lambda job: job.created_at, reverse=True)
    known = [job for job in found if key(job) is not None]
    known.sort(key=key, reverse=falls is not query.reverse)
    return [job.id for job in (*known, *(job for job in found if key(job) is None))]


FILTERS: list[dict[str, Any]] = [{}, {"search": "h100 a"}]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", list(JobSort))
def test_windows_read_in_any_direction_equal_the_sorted_list(
    db: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sort: JobSort,
    reverse: bool,
    filters: dict[str, Any],
) -> None:
    monkeypatch.setattr(keyset, "MOST_COUNTED", 0)
    monkeypatch.setattr(keyset, "FEW_MATCHES", 0)
    query = JobQuery(sort=sort, reverse=reverse, **filters)
    listed = JobList(db, query)
    everything = [s.job.id for s in JobList(db, query).window(0, 100)]
    assert len(everything) == listed.total
    if not filters:
        assert everything == sorted_ids(db, query)
    for offset in (*range(0, listed.total, 7), *range(listed.total - 7, 0, -7)):
        found = [summary.job.id for summary in listed.window(offset, 7)]
        assert found == everything[offset : offset + 7]
    for place in (0, 17, listed.total - 1):
        assert listed.position(everything[place]) == place
    assert listed.position("nobody") is None


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("sort", list(JobSort))
def test_every_order_is_read_from_its_index_and_never_sorted(
    db: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sort: JobSort,
    filters: dict[str, Any],
) -> None:
    monkeypatch.setattr(keyset, "MOST_COUNTED", 0)
    monkeypatch.setattr(keyset, "FEW_MATCHES", 0)
    statements: list[str] = []
    listed = JobList(db, JobQuery(sort=sort, **filters))
    db.set_trace_callback(statements.append)
    for offset in (0, 5, 10):
        listed.numbers(offset, 5)
    listed.position(row(18)["id"])
    db.set_trace_callback(None)
    steps = [
        step["detail"]
        for statement in statements
        if statement.startswith("SELECT")
        for step in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    assert [step for step in steps if step.startswith(("SCAN l", "SEARCH l"))]
    assert not [step for step in steps if step.startswith("SCAN l") and "INDEX" not in step]


def test_a_search_and_filters_read_one_index_and_no_row(db: sqlite3.Connection) -> None:
    query = JobQuery(
        search="beta h1", preset="balanced", created_from=datetime(2026, 11, 2, tzinfo=UTC)
    )
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    total = JobList(db, query).total
    db.set_trace_callback(None)
    assert total == len(
        [
            number
            for number in range(60)
            if number % 3 == 0 and number % 2 == 0 and number % 5 and number % 7
        ]
    )
    [sql] = [one for one in statements if "INTO temp.job_matches " in one]
    plan = [step["detail"] for step in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    assert any("j USING COVERING INDEX jobs_by_dataset" in step for step in plan)


def test_filters_have_the_number_of_their_jobs_whatever_is_written(db: sqlite3.Connection) -> None:
    with transaction(db):
        jobs.put_jobs(db, [row(0, status="failed", dataset_id="d1", gpu_config=None)])
        jobs.delete_jobs(db, [row(1)["id"]])
    found = job_facets(db)
    assert found.statuses == {"failed": 16, "completed": 15, "running": 14, "queued": 14}
    assert found.datasets == {"Alpha": 20, "beta": 19}
    assert found.presets == {"balanced": 30, "aggressive": 29}
    assert found.gpus == {"H100": 47, None: 12}
    assert JobList(db, JobQuery()).total == 59


def test_a_renamed_dataset_moves_its_jobs(db: sqlite3.Connection) -> None:
    with transaction(db):
        records.put_datasets(db, [{"id": "d2", "name": "aaa"}, {"id": "d0", "name": "zzz"}])
    names = [s.job.dataset_name for s in JobList(db, JobQuery(sort=JobSort.DATASET)).window(0, 60)]
    assert names == ["aaa"] * 20 + ["Alpha"] * 20 + ["zzz"] * 20
    assert JobList(db, JobQuery(dataset="zzz")).total == 20
    with transaction(db):
        records.delete_records(db, "datasets", ["d0"])
    assert JobList(db, JobQuery(search="zzz")).total == 0


@pytest.mark.parametrize(
    "change",
    ["UPDATE job_counts SET total = total + 1", "UPDATE jobs SET dataset_name = 'Another'"],
)
def test_a_damaged_list_of_jobs_is_noticed(db: sqlite3.Connection, change: str) -> None:
    assert find_damage(db) is None
    db.execute(change)
    assert find_damage(db) is not None
