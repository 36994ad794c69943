"""What is wrong with a job that runs, judged with all that the cache knows of it."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from lora_tui.cache import metrics, records
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.jobs import put_jobs
from lora_tui.cache.live_curves import note_points_read
from lora_tui.cache.metadata import SyncState, put_sync_state
from lora_tui.cache.runs import judge_live
from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.opinion import Finding, Kind, Severity

JOB: Final = "0000abcd-0000-4000-8000-000000000000"
START: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
TURNED: Final = dict(
    zip(range(24, 216, 24), (1.9, 1.5, 1.3, 1.2, 1.26, 1.3, 1.36, 1.4), strict=True)
)
"""Validation losses that rise after a third of the run, by the number of the point."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as db:
        yield db


def put_run(
    db: sqlite3.Connection, *, data: str, validation: dict[int, float] | None = None
) -> None:
    """200 points, one in five seconds, of three epochs."""
    chance = random.Random(0)
    points = [
        MetricPoint(
            id=f"{number:04}",
            timestamp=timestamp_text(START + timedelta(seconds=5 * number)),
            step=10.0 * number,
            epoch=None,
            training_loss=(1 + math.exp(-3 * number / 200)) * (1 + chance.gauss(0, 0.03)),
            validation_loss=(validation or {}).get(number),
        )
        for number in range(200)
    ]
    steps = {"current_step": 1_990, "total_steps": 2_000, "total_epochs": 3}
    with transaction(db):
        records.put_datasets(db, [{"id": "d1", "name": "Mails", "format": data}])
        put_jobs(db, [{"id": JOB, "dataset_id": "d1", "status": "running", **steps}])
        metrics.add_points(db, JOB, points)
        metrics.draw_curve(db, JOB)


def warnings(db: sqlite3.Connection) -> list[Finding]:
    return [*judge_live(db, JOB).warnings]


@pytest.mark.parametrize(
    ("data", "severity"), [("completion", Severity.WARNING), ("chat", Severity.NOTE)]
)
def test_on_chat_data_a_rising_validation_loss_is_no_reason_to_stop_a_run(
    db: sqlite3.Connection, data: str, severity: Severity
) -> None:
    put_run(db, data=data, validation=TURNED)
    [finding] = warnings(db)
    assert (finding.kind, finding.severity) == (Kind.OVERFIT, severity)


def test_a_run_is_not_said_to_have_stalled_because_a_sync_came_after_its_points(
    db: sqlite3.Connection,
) -> None:
    put_run(db, data="completion")
    synced = START + timedelta(hours=1)
    with transaction(db):
        put_sync_state(db, SyncState(synced, synced, running=False, error=None), process="")
    assert warnings(db) == []
    note_points_read(db, synced)
    assert [finding.kind for finding in warnings(db)] == [Kind.STALLED]
