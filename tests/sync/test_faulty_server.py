"""Servers that repeat pages, count wrongly or are slow: the sync ends and the cache is right."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from lora_tui.cache import drawing, metadata, metrics
from lora_tui.errors import BackendError, DeniedError
from lora_tui.fetching.curves import pull_curve
from lora_tui.gateway import paging
from lora_tui.gateway.rest import Rest
from lora_tui.sync import sync_cache
from tests.sync.faulty_server import TIMED_OUT, USER, FaultyProject, serving
from tests.tui.library import identifier, model_row, notice_row

JOB = identifier("job", 0)
DENIED = {"code": "42501", "message": "permission denied for table datasets"}


@pytest.fixture
def project() -> FaultyProject:
    return FaultyProject()


@pytest.fixture
def rest(project: FaultyProject) -> Iterator[Rest]:
    with serving(project) as rest:
        yield rest


def model_ids(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT id FROM models")}


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def models_of_one_moment(count: int) -> list[dict[str, Any]]:
    """Sent with the same time, stored with times that differ and run against the ids."""
    moment = "2026-11-20T10:00:00.123000+00:00"
    rows = [model_row(number, updated_at=moment) for number in range(count)]
    rows.sort(key=lambda row: row["id"], reverse=True)
    for place, row in enumerate(rows):
        row["stored"] = f"2026-11-20T10:00:00.123{place:03}+00:00"
    return rows


def points(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": identifier("point", number),
            "job_id": JOB,
            "timestamp": f"2026-11-20T10:{number // 60 % 60:02}:{number % 60:02}+00:00",
            "step": number,
            "training_loss": 2.0,
            **columns,
        }
        for number in range(count)
    ]


# Pages that get no further ----------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_a_sync_ends_if_the_server_always_sends_the_same_page(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, full: bool
) -> None:
    project.tables["model_artifacts"] = [model_row(number) for number in range(5)]
    project.repeats = True
    sync_cache(rest, db, USER)
    assert model_ids(db) == ids(project.tables["model_artifacts"])
    sync_cache(rest, db, USER, full=full)
    assert model_ids(db) == ids(project.tables["model_artifacts"])
    assert len(project.asked) < 60


def test_a_repeated_page_that_hides_rows_is_reported_and_removes_nothing(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(9)]
    project.tables["model_artifacts"] = rows
    project.tables["notifications"] = [notice_row(0)]
    sync_cache(rest, db, USER)
    project.repeats, project.max_rows = True, 3
    with pytest.raises(BackendError, match="the same rows again and again"):
        sync_cache(rest, db, USER, full=True)
    assert model_ids(db) == ids(rows)
    state = metadata.get_sync_state(db)
    assert state.error_kind is metadata.SyncErrorKind.OTHER
    assert "model_artifacts" in str(state.error)


@pytest.mark.parametrize("max_rows", [1, 4, 100])
def test_all_rows_come_if_the_server_sends_times_with_fewer_digits_than_it_stores(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, max_rows: int
) -> None:
    rows = models_of_one_moment(11)
    project.tables["model_artifacts"] = rows
    project.max_rows = max_rows
    for _ in range(2):
        project.asked.clear()
        sync_cache(rest, db, USER)
        assert model_ids(db) == ids(rows)
        assert len(project.asked) < 80
    rows[5]["updated_at"], rows[5]["stored"] = (f"2026-11-20T10:00:00.124{end}" for end in "00")
    rows[5] |= {"name": "Renamed", "updated_at": "2026-11-20T10:00:00.124000+00:00"}
    sync_cache(rest, db, USER)
    (name,) = db.execute("SELECT name FROM models WHERE id = ?", [rows[5]["id"]]).fetchone()
    assert name == "Renamed"


@pytest.mark.parametrize("max_rows", [3, 100])
def test_all_points_come_if_the_server_sends_times_with_fewer_digits_than_it_stores(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, max_rows: int
) -> None:
    rows = points(10, timestamp="2026-11-20T10:00:00.5+00:00")
    for place, row in enumerate(sorted(rows, key=lambda row: row["id"], reverse=True)):
        row["stored"] = f"2026-11-20T10:00:00.5{place}+00:00"
    project.tables["metrics_points"] = rows
    project.max_rows = max_rows
    for _ in range(2):
        pull_curve(rest, db, JOB)
        assert {point.id for point in metrics.get_points(db, JOB)} == ids(rows)
        assert len(project.asked) < 40


def test_a_curve_ends_if_the_server_repeats_its_points(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = points(20)
    project.repeats, project.max_rows = True, 5
    with pytest.raises(BackendError, match="again and again"):
        pull_curve(rest, db, JOB)
    assert len(metrics.get_curve(db, JOB)) == 5
    assert len(project.asked) < 10


# Rows without end -------------------------------------------------------------------------------


class Endless(FaultyProject):
    """There is always another row, of a later time."""

    def _chosen(self, table: str, query: dict[str, str]) -> list[dict[str, Any]]:
        start = len(self.asked) * 10
        if table == "metrics_points":
            return [
                {
                    "id": f"00000000-0000-4000-8000-{number:012}",
                    "timestamp": f"2026-11-20T10:00:00.{number:06}+00:00",
                    "step": number,
                    "training_loss": 1.0,
                }
                for number in range(start, start + 10)
            ]
        if table == "model_artifacts":
            return [
                model_row(
                    number,
                    id=f"00000000-0000-4000-8000-{number:012}",
                    updated_at=f"2026-11-20T10:00:00.{number:06}+00:00",
                )
                for number in range(start, start + 10)
            ]
        return []


@pytest.mark.parametrize("total", ["*", "12", "999999999", "-1", "x"])
def test_endless_rows_and_points_end_with_an_error(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, total: str
) -> None:
    monkeypatch.setattr(paging, "MORE_THAN_COUNTED", 60)
    monkeypatch.setattr(paging, "MOST_ROWS", 120)
    project = Endless()
    project.total = lambda _sent, _all: total
    with serving(project) as rest:
        with pytest.raises(BackendError, match="without end") as caught:
            pull_curve(rest, db, JOB)
        assert caught.value.remedy
        assert metrics.get_curve(db, JOB)  # what came is written
        with pytest.raises(BackendError, match="without end"):
            sync_cache(rest, db, USER)
    assert model_ids(db)
    assert len(project.asked) < 60


def test_each_page_of_a_curve_is_written_as_it_comes(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.tables["metrics_points"] = points(50)
    project.max_rows = 10
    held: list[int] = []
    add = metrics.add_points

    def added(db: sqlite3.Connection, job: str, page: list[Any]) -> None:
        held.append(len(page))
        add(db, job, page)

    monkeypatch.setattr(metrics, "add_points", added)
    pull_curve(rest, db, JOB)
    assert held == [10] * 5
    assert len(metrics.get_curve(db, JOB)) == 50


def test_a_very_long_curve_keeps_its_ends_and_extremes(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, project: FaultyProject, rest: Rest
) -> None:
    rows = points(3000)
    rows[1234]["training_loss"], rows[2001]["training_loss"] = 9.0, 0.1
    rows[777]["validation_loss"] = 2.5
    project.tables["metrics_points"] = rows
    monkeypatch.setattr(drawing, "DRAWN_WHOLE", 900)
    pull_curve(rest, db, JOB)
    curve = metrics.get_curve(db, JOB)
    assert {9.0, 0.1} <= {point.training_loss for point in curve}
    assert [point.validation_loss for point in curve if point.validation_loss] == [2.5]
    assert len(metrics.get_points(db, JOB)) == 3000


# Pages, orders and counts that are not as asked -------------------------------------------------


@pytest.mark.parametrize("total", ["rows sent", "0", "999", "-7", "*", "nonsense"])
def test_all_rows_and_points_come_if_the_server_counts_wrongly(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, total: str
) -> None:
    rows = [model_row(number) for number in range(23)]
    project.tables |= {"model_artifacts": rows, "metrics_points": points(35)}
    project.max_rows = 10
    project.total = lambda sent, _all: str(sent) if total == "rows sent" else total
    for _ in range(2):
        sync_cache(rest, db, USER)
        assert model_ids(db) == ids(rows)
        assert len(metrics.get_points(db, JOB)) == 35


def test_after_a_wrong_count_the_next_sync_does_not_compare_again(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["model_artifacts"] = [model_row(number) for number in range(7)]
    project.total = lambda _sent, all_there: str(all_there + 3)
    sync_cache(rest, db, USER)
    project.asked.clear()
    sync_cache(rest, db, USER)
    assert not [
        asked for asked in project.asked if "model_artifacts" in asked and "order=id" in asked
    ]


@pytest.mark.parametrize("known", [False, True])
def test_rows_in_no_order_remove_nothing(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, known: bool
) -> None:
    rows = [model_row(number) for number in range(12)]
    project.tables["model_artifacts"] = rows
    sync_cache(rest, db, USER)
    project.unordered, project.max_rows = True, 4
    if not known:
        project.total = lambda _sent, _all: "*"
    with suppress(BackendError):
        sync_cache(rest, db, USER, full=True)
    assert model_ids(db) == ids(rows)


def test_all_rows_by_id_come_if_the_project_limits_rows(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(30)]
    project.tables["model_artifacts"] = rows
    project.max_rows = 7
    assert ids(rest.rows_by_id("model_artifacts", USER, [*ids(rows), identifier("no", 1)])) == ids(
        rows
    )


# Time-outs and refusals -------------------------------------------------------------------------


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpx_retries.retry.time.sleep", lambda _: None)


@pytest.mark.usefixtures("no_waits")
def test_a_count_that_times_out_does_not_stop_a_sync(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(5)]
    project.tables |= {"model_artifacts": rows, "metrics_points": points(9)}
    project.refused = lambda _table, query: (500, TIMED_OUT) if query["count"] else None
    for _ in range(2):
        sync_cache(rest, db, USER)
    assert model_ids(db) == ids(rows)
    assert len(metrics.get_points(db, JOB)) == 9
    assert metadata.get_sync_state(db).online


@pytest.mark.usefixtures("no_waits")
def test_a_page_that_times_out_is_read_in_smaller_pages(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(50)]
    project.tables["model_artifacts"] = rows
    project.refused = lambda _table, query: (
        (500, TIMED_OUT) if int(query.get("limit", "1000")) > 10 else None
    )
    sync_cache(rest, db, USER)
    assert model_ids(db) == ids(rows)


@pytest.mark.usefixtures("no_waits")
def test_a_table_that_times_out_is_not_offline_and_the_others_come(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(5)]
    project.tables["model_artifacts"] = rows
    project.refused = lambda table, _query: (500, TIMED_OUT) if table == "datasets" else None
    with pytest.raises(Exception, match="too long") as caught:
        sync_cache(rest, db, USER)
    assert "network" not in str(getattr(caught.value, "remedy", ""))
    assert metadata.get_sync_state(db).error_kind is metadata.SyncErrorKind.OTHER
    assert model_ids(db) == ids(rows)


def test_a_denied_table_does_not_stop_the_others(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    rows = [model_row(number) for number in range(5)]
    project.tables["model_artifacts"] = rows
    project.refused = lambda table, _query: (403, DENIED) if table == "datasets" else None
    with pytest.raises(DeniedError, match="datasets"):
        sync_cache(rest, db, USER)
    assert model_ids(db) == ids(rows)


def test_large_rows_come_one_by_one_and_the_largest_without_its_large_columns(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.gateway.http.MOST_RESPONSE_BYTES", 20_000)
    rows = [model_row(number, description="x" * 3_000) for number in range(12)]
    rows[4]["configuration"] = {"hyperparameters": {"notes": "y" * 50_000}}
    project.tables["model_artifacts"] = rows
    sync_cache(rest, db, USER)
    assert model_ids(db) == ids(rows)
    kept = {row[0]: json.loads(row[1]) for row in db.execute("SELECT id, row FROM models")}
    assert kept[rows[3]["id"]] == rows[3]
    assert kept[rows[4]["id"]]["name"] == rows[4]["name"]
    sync_cache(rest, db, USER, full=True)
    assert model_ids(db) == ids(rows)
