"""Fetching metric points: new ones, all of them again, and interrupted fetches."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from lora_tui.cache import metrics
from lora_tui.cache.connection import open_cache, path_of
from lora_tui.cache.integrity import check_integrity, find_damage
from lora_tui.errors import QueryTimeoutError
from lora_tui.fetching.curves import pull_curve, pull_curves
from lora_tui.gateway.rest import Rest
from lora_tui.sync import sync_cache
from tests.cache.test_schema import OWNER, cache_of_schema
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


def test_a_curve_that_came_with_its_model_stays_where_there_are_no_points(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    stored = [[step, 2.0 - step / 10, None] for step in range(9)]
    row = model_row(0, job_id=JOB)
    row["training_summary"] |= {"loss_curve": stored}
    project.tables["model_artifacts"] = [row]
    sync_cache(rest, db, USER)
    before = metrics.get_curve(db, JOB)
    assert len(before) == 9
    asked = [request for request in project.asked if request.startswith("metrics_points")]
    sync_cache(rest, db, USER)
    sync_cache(rest, db, USER, full=True)
    assert metrics.get_curve(db, JOB) == before
    again = [request for request in project.asked if request.startswith("metrics_points")]
    assert len(again) == len(asked) + 1  # by the full sync
    check_integrity(db)
    project.tables["metrics_points"] = logged(25)
    pull_curve(rest, db, JOB)
    assert len(metrics.get_curve(db, JOB)) == 25


def test_a_sync_fetches_the_points_behind_a_curve_that_came_with_its_model(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    row = model_row(0, job_id=JOB)
    row["training_summary"] |= {"loss_curve": [[step, 2.0, None] for step in range(9)]}
    project.tables |= {"model_artifacts": [row], "metrics_points": logged(25)}
    sync_cache(rest, db, USER)
    assert len(metrics.get_points(db, JOB)) == 25
    assert len(metrics.get_curve(db, JOB)) == 25


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


SIGNALS: Final = {
    "learning_rate": "0.0002",
    "gradient_norm": 0.5,
    "throughput": 1500.25,
    "gpu_utilization": 97,
}


def test_every_column_of_a_point_is_cached(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = [row | SIGNALS for row in logged(3)]
    pull_curve(rest, db, JOB)
    point = metrics.get_points(db, JOB)[-1]
    assert (point.learning_rate, point.gradient_norm) == (0.0002, 0.5)
    assert (point.throughput, point.gpu_utilization) == (1500.25, 97.0)
    assert metrics.get_logged(db, JOB)[-1].learning_rate == 0.0002
    check_integrity(db)


def test_what_is_not_a_number_is_cached_as_that_and_not_drawn(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    points = [row | SIGNALS for row in logged(6)]
    points[2] |= {"validation_loss": "NaN"}
    points[3] |= {"training_loss": "NaN", "gradient_norm": "NaN"}
    points[4] |= {"training_loss": 0, "gradient_norm": "Infinity"}
    project.tables["metrics_points"] = points
    pull_curve(rest, db, JOB)
    cached = metrics.get_points(db, JOB)
    assert repr(cached[2].validation_loss) == "nan"
    assert cached[1].validation_loss is None
    assert (cached[3].training_loss, repr(cached[3].gradient_norm)) == (None, "nan")
    assert (cached[4].training_loss, cached[4].gradient_norm) == (0.0, math.inf)
    drawn = [(point.step, point.after_gap) for point in metrics.get_curve(db, JOB)]
    assert drawn == [(0, False), (1, False), (2, False), (5, True)]
    check_integrity(db)


@pytest.mark.parametrize("through_sync", [True, False])
def test_points_that_were_cached_without_their_other_columns_are_fetched_again(
    project: FaultyProject, rest: Rest, tmp_path: Path, through_sync: bool
) -> None:
    path = cache_of_schema(8, tmp_path / "cache.sqlite3")
    with closing(open_cache(path, OWNER)) as db:
        assert len(metrics.get_curve(db, JOB)) == 4  # shown until then
        assert JOB in metrics.jobs_to_fetch(db, 9)
        project.tables["metrics_points"] = [row | SIGNALS for row in logged(4)]
        if through_sync:
            assert pull_curves(rest, db, reread=False, on_curve=lambda _: None) == []
        else:
            pull_curve(rest, db, JOB)
        assert [point.gradient_norm for point in metrics.get_points(db, JOB)] == [0.5] * 4
        assert JOB not in metrics.jobs_to_fetch(db, 9)
        check_integrity(db)
