"""The list of jobs: what runs first, filtered, sorted, with any row that a backend may hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from lora_tui.cache import jobs, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.job_query import JobQuery, JobSort
from lora_tui.cache.jobs import JobList
from lora_tui.cache.sums import SUMMED
from lora_tui.clock import microseconds, timestamp_text
from lora_tui.domain import Job
from tests.fuzz.conftest import examples
from tests.fuzz.values import odd_row


def row(number: int, status: str, **changes: Any) -> dict[str, Any]:
    moment = f"2026-11-{number + 1:02}T00:00:00+00:00"
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "dataset_id": "d1",
        "preset_id": "balanced",
        "status": status,
        "created_at": moment,
        "updated_at": moment,
        **changes,
    }


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        with transaction(connection):
            records.put_datasets(connection, [{"id": "d1", "name": "Support mails"}])
        yield connection


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    with transaction(db, Topic.JOBS):
        jobs.put_jobs(db, rows)


def listed(db: sqlite3.Connection, query: JobQuery) -> list[int]:
    found = JobList(db, query)
    return [int(summary.job.id[:8], 16) for summary in found.window(0, found.total)]


def test_what_runs_comes_first_then_what_waits_then_the_newest(db: sqlite3.Connection) -> None:
    put(db, row(1, "completed"), row(2, "running"), row(3, "failed"), row(4, "queued"))
    put(db, row(5, "initializing"), row(6, "cancelled"))
    assert listed(db, JobQuery()) == [5, 2, 4, 6, 3, 1]


def test_unknown_values_are_last_in_both_directions(db: sqlite3.Connection) -> None:
    put(db, row(1, "completed", final_cost="2.5"), row(2, "completed"))
    put(db, row(3, "completed", final_cost=1, current_cost=9))
    assert listed(db, JobQuery(sort=JobSort.COST)) == [1, 3, 2]
    assert listed(db, JobQuery(sort=JobSort.COST, reverse=True)) == [3, 1, 2]


def test_every_word_of_a_search_must_be_found(db: sqlite3.Connection) -> None:
    put(db, row(1, "failed", gpu_config={"type": "H100"}), row(2, "running"))
    assert listed(db, JobQuery(search="mails fail")) == [1]
    assert listed(db, JobQuery(search="H100")) == [1]
    assert listed(db, JobQuery(search="00000002")) == [2]
    assert listed(db, JobQuery(search="mails nothing")) == []


def test_filters_narrow_the_list(db: sqlite3.Connection) -> None:
    put(db, row(1, "failed"), row(2, "running", preset_id="aggressive"), row(3, "completed"))
    assert listed(db, JobQuery(statuses=frozenset({"failed", "completed"}))) == [3, 1]
    assert listed(db, JobQuery(preset="aggressive")) == [2]
    assert listed(db, JobQuery(dataset="Support mails")) == [2, 3, 1]
    assert listed(db, JobQuery(dataset="another")) == []


def test_a_row_of_nonsense_is_a_line_of_the_list(db: sqlite3.Connection) -> None:
    put(
        db,
        row(
            1,
            "\x1b[31mrunning",
            progress="1e999",
            current_step=-5,
            total_steps="many",
            final_cost="NaN",
            gpu_config=[],
            hyperparameters="none",
            current_metrics=7,
            started_at="2999-01-01T00:00:00Z",
            completed_at="1999-01-01T00:00:00Z",
        ),
    )
    found = JobList(db, JobQuery())
    (summary,) = found.window(0, 10)
    assert "\x1b" not in summary.job.status
    assert summary.job.cost is None
    assert summary.job.duration_hours is None


def test_a_job_is_found_by_the_beginning_of_its_id(db: sqlite3.Connection) -> None:
    put(db, row(1, "failed"), row(2, "running"))
    assert [found.job.id[:8] for found in jobs.find_jobs(db, "00000001")] == ["00000001"]
    assert len(jobs.find_jobs(db, "0000000")) == 2
    assert jobs.find_jobs(db, "nobody") == []


def test_a_cache_of_the_version_before_keeps_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        put(db, row(1, "running"))
        sql = "SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL AND {}"
        for kind, name in db.execute(
            sql.format("type = 'index' AND tbl_name = 'jobs' OR name LIKE 'datasets_jobs_%'")
        ).fetchall():
            db.execute(f"DROP {kind} {name}")
        db.execute("DROP TABLE job_counts")
        db.execute("DROP TABLE cost_records")
        for column in ("micros", "fate"):
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for column in ("activity", "dataset_id", "preset_id", "base_model", "gpu", "created_at"):
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for column in ("cost", "duration_hours", "loss", "dataset_name"):
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for migration in (
            "_m012_list_of_jobs",
            "_m013_cost_records",
            "_m016_sums_of_jobs",
            "_m015_orders_of_jobs",
        ):
            db.execute("DELETE FROM _sqlite_migrations WHERE name = ?", [migration])
        db.execute("PRAGMA user_version = 11")
        db.commit()
    with closing(open_cache(path)) as db:
        assert listed(db, JobQuery()) == [1]
        assert jobs.count_active(db) == (1, 0)


@given(row=odd_row("training_jobs"))
@examples(60)
def test_the_columns_of_a_job_are_what_its_page_shows(row: Any) -> None:
    row = row if isinstance(row, dict) else {}
    job = Job.from_row(row)
    named = dict(zip(SUMMED["jobs"], jobs.columns(row), strict=True))
    shown = {
        **{name: getattr(job, name) for name in ("id", "status", "external_job_id")},
        **{name: getattr(job, name) for name in ("artifact_id", "dataset_id", "preset_id")},
        **{"base_model": job.hyperparameters.base_model, "gpu": job.gpu.type},
        **{"cost": job.cost, "duration_hours": job.duration_hours, "loss": job.training_loss},
        "created_at": microseconds(job.queued_at or job.created_at),
        "completed_at": job.completed_at and timestamp_text(job.completed_at),
        "updated_at": job.updated_at and timestamp_text(job.updated_at),
    }
    assert {name: named[name] for name in shown} == shown
