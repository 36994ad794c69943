"""Fetching metric points: new ones, all of them again, and interrupted fetches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest

from lora_tui.cache import metrics
from lora_tui.cache.connection import open_cache, path_of
from lora_tui.cache.integrity import check_integrity, find_damage
from lora_tui.errors import QueryTimeoutError
from lora_tui.fetching.curves import pull_curve
from lora_tui.gateway.rest import Rest
from lora_tui.sync import sync_cache
from tests.sync.faulty_server import TIMED_OUT, USER, FaultyProject, serving
from tests.tui.library import identifier, model_row

JOB: Final = identifier("job", 0)


def logged(count: int, *, first: int = 0, loss: float = 2.0) -> list[dict[str, Any]]:
    """Rows of the table of metric points."""
    return [
        {
            "id": identifier("point", number),
            "job_id": JOB,
            "timestamp": f"2026-11-20T10:{number // 60:02}:{number % 60:02}+00:00",
            "step": number,
            "training_loss": loss,
        }
        for number in range(first, first + count)
    ]


@pytest.fixture
def project() -> FaultyProject:
    return FaultyProject()


@pytest.fixture
def rest(project: FaultyProject) -> Iterator[Rest]:
    with serving(project) as rest:
        yield rest


def test_a_full_sync_removes_points_that_the_server_no_longer_has(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables |= {"model_artifacts": [model_row(0, job_id=JOB)], "metrics_points": logged(25)}
    sync_cache(rest, db, USER)
    assert len(metrics.get_points(db, JOB)) == 25
    project.tables["metrics_points"] = logged(12, first=100, loss=1.0)
    project.max_rows = 5
    sync_cache(rest, db, USER, full=True)
    assert [point.step for point in metrics.get_points(db, JOB)] == list(range(100, 112))
    assert {point.training_loss for point in metrics.get_curve(db, JOB)} == {1.0}
    check_integrity(db)
    project.tables["metrics_points"] = []
    sync_cache(rest, db, USER, full=True)
    assert (metrics.get_points(db, JOB), metrics.get_curve(db, JOB)) == ([], ())
    project.tables["metrics_points"] = logged(3)
    sync_cache(rest, db, USER, full=True)
    assert len(metrics.get_curve(db, JOB)) == 3


def test_a_full_sync_interrupted_within_a_curve_does_not_change_it(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables |= {"model_artifacts": [model_row(0, job_id=JOB)], "metrics_points": logged(25)}
    sync_cache(rest, db, USER)
    before = metrics.get_points(db, JOB), metrics.get_curve(db, JOB)
    project.tables["metrics_points"] = logged(25, first=100)
    project.max_rows = 5

    def cut_off(table: str, query: dict[str, str]) -> tuple[int, Any] | None:
        return (500, TIMED_OUT) if table == "metrics_points" and "or" in query else None

    project.refused = cut_off
    with pytest.raises(QueryTimeoutError):
        sync_cache(rest, db, USER, full=True)
    assert (metrics.get_points(db, JOB), metrics.get_curve(db, JOB)) == before
    check_integrity(db)
    project.refused = lambda _table, _query: None
    sync_cache(rest, db, USER, full=True)
    assert [point.step for point in metrics.get_points(db, JOB)] == list(range(100, 125))


def test_a_full_sync_keeps_a_curve_whose_points_were_never_fetched(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    stored = [[step, 2.0 - step / 10, None] for step in range(9)]
    row = model_row(0, job_id=JOB)
    row["training_summary"] |= {"loss_curve": stored}
    project.tables["model_artifacts"] = [row]
    sync_cache(rest, db, USER)
    before = metrics.get_curve(db, JOB)
    assert len(before) == 9
    sync_cache(rest, db, USER, full=True)
    assert metrics.get_curve(db, JOB) == before
    assert not [asked for asked in project.asked if asked.startswith("metrics_points")]


def test_the_cache_is_healthy_while_the_points_of_a_curve_come(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(25)
    pull_curve(rest, db, JOB)
    project.tables["metrics_points"] = logged(60)
    project.max_rows = 5
    path = path_of(db)
    damages: list[str | None] = []

    def looked_at(_table: str, rows: list[dict[str, Any]]) -> Any:
        with closing(open_cache(path)) as other:
            damages.append(find_damage(other))
        return rows

    project.sent = looked_at
    pull_curve(rest, db, JOB)
    assert set(damages) == {None}
    check_integrity(db)
    assert len(metrics.get_points(db, JOB)) == 60


def test_points_from_an_interrupted_fetch_are_drawn_by_the_next_one(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(25)
    pull_curve(rest, db, JOB)
    project.tables["metrics_points"] = logged(60)
    project.max_rows = 40
    project.asked.clear()
    project.refused = lambda _table, _query: (500, TIMED_OUT) if len(project.asked) > 1 else None
    with pytest.raises(QueryTimeoutError):
        pull_curve(rest, db, JOB)
    project.tables["metrics_points"] = logged(40)
    project.refused = lambda _table, _query: None
    pull_curve(rest, db, JOB)
    assert len(metrics.get_curve(db, JOB)) == 40


def test_a_stored_curve_stays_if_the_server_has_no_points(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    row = model_row(0, job_id=JOB)
    row["training_summary"] |= {"loss_curve": [[step, 2.0, None] for step in range(9)]}
    project.tables["model_artifacts"] = [row]
    sync_cache(rest, db, USER)
    pull_curve(rest, db, JOB)
    assert len(metrics.get_curve(db, JOB)) == 9
