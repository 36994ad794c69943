"""What was spent: each run counts once, in every grouping, with any row that a backend may hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_tui import clock
from lora_tui.cache import costs, jobs, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.model_costs import cost_of_matches
from lora_tui.cache.models import ModelQuery
from lora_tui.reports.costs import By, Costs, Period
from tests.tui.library import model_row

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(8)]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        with transaction(connection):
            records.put_datasets(connection, [{"id": "d1", "name": "Support mails"}])
        yield connection


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    clock.use_utc(True)
    yield
    clock.use_utc(False)


def job(number: int, status: str = "completed", **changes: Any) -> dict[str, Any]:
    moment = f"2026-11-{number + 1:02}T00:00:00+00:00"
    return {
        "id": IDS[number],
        "dataset_id": "d1",
        "preset_id": "balanced",
        "status": status,
        "gpu_config": {"type": "H100"},
        "created_at": moment,
        "updated_at": moment,
        **changes,
    }


def record(number: int, job_number: int | None, amount: object, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:08x}-0000-4000-9000-000000000000",
        "job_id": None if job_number is None else IDS[job_number],
        "cost_type": "gpu",
        "amount": amount,
        "recorded_at": "2026-11-20T10:00:00+00:00",
        **changes,
    }


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    with transaction(db, Topic.JOBS, Topic.COSTS):
        jobs.put_jobs(db, [row for row in rows if "cost_type" not in row])
        costs.put_cost_records(db, [row for row in rows if "cost_type" in row])


def spent(found: Costs) -> dict[str, float]:
    return {line.label: line.sums.dollars for line in found.lines}


def test_a_run_without_records_counts_with_its_own_cost(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost="2.50", current_cost=9), job(1, "running", current_cost=4))
    found = costs.read_costs(db, By.STATUS)
    assert spent(found) == {"running": 4.0, "completed": 2.5}
    assert found.total.so_far == 4_000_000


def test_a_run_whose_gpu_time_was_billed_does_not_count_twice(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost=10), record(0, 0, "9.50"), record(1, 0, 0.25, cost_type="storage"))
    (line,) = costs.read_costs(db, By.PRESET).lines
    assert (line.sums.run_cost, line.sums.records) == (10_000_000, 9_750_000)
    assert line.sums.dollars == 9.75


def test_storage_of_a_run_comes_on_top_of_its_own_cost(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost=10), record(0, 0, 0.25, cost_type="storage"))
    assert costs.read_costs(db, By.GPU).total.dollars == 10.25


def test_a_record_of_an_unknown_amount_does_not_hide_the_cost_of_its_run(
    db: sqlite3.Connection,
) -> None:
    put(db, job(0, final_cost=10), record(0, 0, "NaN"), record(1, 0, 1e300))
    found = costs.read_costs(db, By.GPU)
    assert (found.total.dollars, found.total.unknown_records) == (10.0, 2)


def test_what_belongs_to_no_run_is_a_line_of_its_own(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost=1), record(0, None, 3, cost_type="storage"), record(1, 7, -1))
    assert spent(costs.read_costs(db, By.DATASET)) == {"no run": 2.0, "Support mails": 1.0}


def test_failed_and_cancelled_runs_are_counted_and_told(db: sqlite3.Connection) -> None:
    put(db, job(0, "failed", final_cost=1), job(1, "cancelled", current_cost=2))
    put(db, job(2, final_cost=4), job(3, "failed"), record(0, 3, 8), job(4, "failed"))
    total = costs.read_costs(db, By.MONTH).total
    assert (total.failed_runs, total.failed, total.unknown) == (4, 11_000_000, 1)


def test_a_run_that_waits_has_no_unknown_cost(db: sqlite3.Connection) -> None:
    put(db, job(0, "queued"), job(1, "completed"))
    assert costs.read_costs(db, By.STATUS).total.unknown == 1


def test_months_are_those_of_the_user(db: sqlite3.Connection) -> None:
    put(
        db,
        job(0, created_at="2026-10-31T23:59:59Z", final_cost=1),
        job(1, created_at="2026-11-01T00:00:00Z", final_cost=2),
        job(2, created_at="1969-12-31T00:00:00Z", final_cost=4),
        job(3, created_at="7999-01-31T00:00:00Z", final_cost=8),
        job(4, created_at="whenever", final_cost=16),
        record(0, 0, 32, recorded_at="2026-12-05T00:00:00Z", billing_period="2026-12"),
    )
    assert spent(costs.read_costs(db, By.MONTH)) == {
        "7999-01": 8.0,
        "2026-12": 32.0,
        "2026-11": 2.0,
        "2026-10": 0.0,
        "1969-12": 4.0,
        "unknown date": 16.0,
    }
    november = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert spent(costs.read_costs(db, By.MONTH, november)) == {"2026-11": 2.0}
    assert costs.month_spending(db, datetime(2026, 11, 9, tzinfo=UTC)) == 2.0


def test_more_months_than_one_query_takes(db: sqlite3.Connection) -> None:
    rows = [
        job(
            0,
            id=f"j{number}",
            created_at=f"{1700 + number // 12}-{number % 12 + 1:02}-03",
            final_cost=1,
        )
        for number in range(600)
    ]
    put(db, *rows)
    found = costs.read_costs(db, By.MONTH)
    assert {line.sums.counted for line in found.lines} == {1_000_000}
    assert len(found.lines) == 600


_JOBS = st.builds(
    job,
    st.integers(0, 7),
    st.sampled_from(["completed", "failed", "running", "queued", "odd"]),
    final_cost=st.none() | st.sampled_from([1, "0.1", -3, "NaN", 1e300, 0.07]),
    current_cost=st.none() | st.just(0.3),
    preset_id=st.sampled_from(["balanced", "custom", None, ""]),
    dataset_id=st.sampled_from(["d1", "d2", None]),
    created_at=st.sampled_from(["2026-11-02", "2026-10-05", "1999-01-01", None]),
)
_RECORDS = st.builds(
    record,
    st.integers(0, 9),
    st.none() | st.integers(0, 7),
    st.sampled_from([1, "0.1", -3, None, "NaN", 1e300, 0.07]),
    cost_type=st.sampled_from(["gpu", "storage"]),
    recorded_at=st.sampled_from(["2026-11-02", "2026-09-05", None]),
)
_PERIODS = st.sampled_from(
    [
        Period(),
        Period(datetime(2026, 10, 1, tzinfo=UTC)),
        Period(None, datetime(2026, 11, 1, tzinfo=UTC)),
    ]
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(runs=st.lists(_JOBS, max_size=6), billed=st.lists(_RECORDS, max_size=6), period=_PERIODS)
def test_every_grouping_has_the_same_total(
    db: sqlite3.Connection, runs: list[Any], billed: list[Any], period: Period
) -> None:
    with transaction(db):
        ids = [row[0] for row in db.execute("SELECT id FROM jobs").fetchall()]
        jobs.delete_jobs(db, ids)
        ids = [row[0] for row in db.execute("SELECT id FROM cost_records").fetchall()]
        records.delete_records(db, "cost_records", ids)
    put(db, *runs, *billed)
    totals = set()
    for few in (0, 20_000):  # a query begins with the jobs, or with the records
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(costs, "MANY_RECORDS", few)
            totals |= {costs.read_costs(db, by, period).total for by in By}
    assert len(totals) == 1
    assert find_damage(db) is None


def test_records_leave_with_their_run(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost=1), record(0, 0, 3), record(1, 1, 4))
    with transaction(db):
        costs.delete_costs_of(db, [IDS[0]])
    assert costs.read_costs(db, By.STATUS).total.records == 4_000_000
    assert find_damage(db) is None


def test_sums_are_read_from_indexes_alone(db: sqlite3.Connection) -> None:
    put(db, job(0, final_cost=1), record(0, 0, 3))
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    for by in By:
        costs.read_costs(db, by)
    db.set_trace_callback(None)
    plans = [
        str(step[3])
        for sql in asked
        if "GROUP BY" in sql
        for step in db.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]
    inner = ("SCAN b", "SCAN r", "SCAN (")  # a subquery that is already summed up
    tables = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH")) and plan not in inner]
    assert tables
    assert all("COVERING INDEX" in plan for plan in tables), tables


def test_the_cost_of_a_filtered_list_is_that_of_all_its_models(db: sqlite3.Connection) -> None:
    rows = [model_row(number) for number in range(30)]
    rows[3]["training_summary"] = {"total_cost": None}
    with transaction(db):
        models.put_models(db, rows)
    found = cost_of_matches(db, ModelQuery(min_stars=4))
    matching = [row for row in rows if row["quality_metrics"]["overall_score"] >= 4]
    known = [row["training_summary"]["total_cost"] or 0 for row in matching]
    assert found.dollars == pytest.approx(sum(known))
    assert found.unknown == known.count(0)
