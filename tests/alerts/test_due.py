"""Which alerts a cache gives: of runs that ended or are in trouble, of results, and of spending."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lora_tui import clock
from lora_tui.alerts.alert import Alert, Kind, Project
from lora_tui.alerts.due import due_alerts, lost, seconds_to_next
from lora_tui.cache import costs, jobs, metrics, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import get_sync_state, put_sync_state
from lora_tui.cache.models import put_models
from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.reports.costs import By

NOW = clock.now()
PROJECT = Project("work", "https://project.example")
Put = Callable[..., None]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        with transaction(connection):
            records.put_datasets(connection, [{"id": "d1", "name": "Support\x1b\x9b mails"}])
        yield connection


@pytest.fixture
def put(db: sqlite3.Connection) -> Put:
    def write(status: str, *, ended: float | None = None, **changes: Any) -> None:
        moment = None if ended is None else timestamp_text(NOW - timedelta(minutes=ended))
        row = {
            "id": "0000abcd-0000-4000-8000-000000000000",
            "dataset_id": "d1",
            "external_job_id": "w-1",
            "created_at": timestamp_text(NOW),
            "status": status,
            "completed_at": moment,
            "updated_at": moment or timestamp_text(NOW),
            **changes,
        }
        with transaction(db, Topic.JOBS):
            jobs.put_jobs(db, [row])

    return write


def due(db: sqlite3.Connection, limit: float | None = None) -> list[Alert]:
    since = NOW - timedelta(hours=6)
    return list(due_alerts(db, PROJECT, since=since, now=NOW, limit=limit))


def test_a_failed_run_comes_with_its_reason(db: sqlite3.Connection, put: Put) -> None:
    put("failed", ended=5, error_message="CUDA out of \x1b]0;memory")
    [alert] = due(db)
    assert alert.kind is Kind.FAILED
    assert alert.title == "Training failed: Support mails (0000abcd)"
    assert "CUDA out of" in alert.message
    assert "\x1b" not in alert.title + alert.message
    assert due(db)[0].event_id == alert.event_id
    put("failed", ended=1, error_message="again")  # it was tried again
    assert due(db)[0].event_id != alert.event_id


def test_what_ended_before_alerts_began_is_not_told(db: sqlite3.Connection, put: Put) -> None:
    put("failed", ended=7 * 60)
    assert due(db) == []


def test_the_newest_of_very_many_ended_runs_is_told(db: sqlite3.Connection, put: Put) -> None:
    with transaction(db, Topic.JOBS):
        rows = [
            {
                "id": f"{number:08}-0000-4000-8000-000000000000",
                "status": "failed",
                "completed_at": timestamp_text(NOW - timedelta(hours=2, seconds=number)),
            }
            for number in range(1_200)
        ]
        jobs.put_jobs(db, rows)
    put("failed", ended=1)
    found = due(db)
    assert found[-1].job_id == "0000abcd-0000-4000-8000-000000000000"
    assert [alert.at for alert in found] == sorted(alert.at for alert in found)


def test_a_finished_run_comes_with_its_stars(db: sqlite3.Connection, put: Put) -> None:
    put("completed", ended=5, artifact_id="m1")
    with transaction(db, Topic.MODELS):
        put_models(
            db,
            [
                {
                    "id": "m1",
                    "job_id": "0000abcd-0000-4000-8000-000000000000",
                    "dataset_id": "d1",
                    "name": "Support - 2026-11-29",
                    "created_at": timestamp_text(NOW),
                    "updated_at": timestamp_text(NOW),
                    "quality_metrics": {"overall_score": 4},
                }
            ],
        )
    [alert] = due(db)
    assert (alert.kind, alert.model_id) == (Kind.FINISHED, "m1")
    assert "4/5 stars" in alert.message


def test_an_adapter_that_was_pushed_is_no_finished_run(db: sqlite3.Connection, put: Put) -> None:
    put("completed", ended=25, external_job_id=None)
    assert due(db) == []


def test_a_result_that_nobody_harvests_is_told_before_it_is_lost(
    db: sqlite3.Connection, put: Put
) -> None:
    put("completed", ended=5)
    assert due(db) == []
    assert seconds_to_next(db, NOW) == pytest.approx(15 * 60, abs=1)
    put("completed", ended=25)
    [alert] = due(db)
    assert alert.kind is Kind.EXPIRING
    assert "expires at the GPU worker in 5 min" in alert.message
    put("completed", ended=35)
    assert due(db) == []
    assert seconds_to_next(db, NOW) == pytest.approx(10 * 60, abs=1)


def test_a_result_is_told_although_its_run_ended_before_alerts_were_set_up(
    db: sqlite3.Connection, put: Put
) -> None:
    put("completed", ended=25)
    [alert] = due_alerts(db, PROJECT, since=NOW - timedelta(minutes=1), now=NOW, limit=None)
    assert alert.kind is Kind.EXPIRING


def test_a_result_that_was_lost_is_told_once_a_sync_has_looked_for_it(
    db: sqlite3.Connection, put: Put
) -> None:
    put("completed", ended=50)
    note_sync(db, NOW - timedelta(minutes=20))  # it may have been harvested since
    assert due(db) == []
    note_sync(db, NOW)
    [alert] = due(db)
    assert alert.kind is Kind.LOST
    assert (
        alert.event_id
        == lost("0000abcd-0000-4000-8000-000000000000", "", "", PROJECT, NOW).event_id
    )
    put("completed", ended=50, artifact_id="m1")
    assert due(db) == []
    put("completed", ended=8 * 60)  # before alerts began
    assert due(db) == []


def note_sync(db: sqlite3.Connection, moment: datetime) -> None:
    with transaction(db):
        put_sync_state(db, get_sync_state(db)._replace(last_success=moment), process="")


def test_a_run_that_diverges_is_told_once(db: sqlite3.Connection, put: Put) -> None:
    put("running", started_at=timestamp_text(NOW - timedelta(hours=1)))
    losses = [2.0 - 0.01 * number for number in range(100)]
    losses += [1.0 + 0.1 * number for number in range(60)]
    points = [
        MetricPoint(
            id=f"{number:04}",
            timestamp=timestamp_text(NOW - timedelta(seconds=10 * (160 - number))),
            step=float(number),
            epoch=1.0,
            training_loss=loss,
            validation_loss=None,
            learning_rate=1e-4,
            gradient_norm=1.0,
            throughput=None,
            gpu_utilization=None,
        )
        for number, loss in enumerate(losses)
    ]
    with transaction(db, Topic.CURVES):
        metrics.add_points(db, "0000abcd-0000-4000-8000-000000000000", points)
    [alert] = due(db)
    assert alert.kind is Kind.WARNING
    assert alert.details["warning"] == "divergence"
    assert due(db)[0].event_id == alert.event_id


def test_spending_beyond_the_limit_is_one_event_a_month(db: sqlite3.Connection, put: Put) -> None:
    put("failed", ended=1, final_cost=150)
    assert [alert.kind for alert in due(db, limit=200)] == [Kind.FAILED]
    alert = due(db, limit=100)[-1]
    assert alert.kind is Kind.SPENDING
    assert "$150.00 this month" in alert.message
    put("failed", ended=1, final_cost=170)
    assert due(db, limit=100)[-1].event_id == alert.event_id
    assert due(db, limit=120)[-1].event_id != alert.event_id


def test_spending_is_the_sum_that_costs_shows_for_the_month(
    db: sqlite3.Connection, put: Put
) -> None:
    put("completed", ended=1, final_cost=150, artifact_id="m1", external_job_id=None)
    rows = [
        # billed for the run itself, which counts in place of what the job says
        {"job_id": "0000abcd-0000-4000-8000-000000000000", "cost_type": "gpu", "amount": 160.5},
        {"job_id": None, "cost_type": "storage", "amount": 30.25},
    ]
    with transaction(db):
        costs.put_cost_records(
            db,
            [
                {"id": f"c{number}", "recorded_at": timestamp_text(NOW), **row}
                for number, row in enumerate(rows)
            ],
        )
    [alert] = due(db, limit=170)
    assert alert.details["spent"] == 190.75
    [month] = costs.read_costs(db, By.MONTH).lines
    assert month.sums.dollars == alert.details["spent"]
    assert month.label == alert.details["month"]
