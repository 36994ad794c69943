"""How many requests of a sync wait for each other, counted at the backend, without a clock.

The backend holds its answers until all requests of a round are there. A request that waits for an
answer of its own round would never come, and the round would break.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from lora_tui.cache import metadata, metrics
from lora_tui.clock import timestamp_text
from lora_tui.engine.running_jobs import sync_running
from lora_tui.errors import DeniedError, UnreachableError
from lora_tui.fetching.curves import AT_ONCE
from lora_tui.gateway.rest import Rest
from lora_tui.sync import sync_cache
from tests.sync.faulty_server import USER, FaultyProject, serving
from tests.tui.library import NOW, identifier, model_row, notice_row

PATIENCE: Final = 60
TABLES: Final = ("datasets", "training_jobs", "model_artifacts", "cost_records", "notifications")
DENIED: Final = {"code": "42501", "message": "permission denied"}


@pytest.fixture
def project() -> FaultyProject:
    """Thirty rows in each table: more than one request lists, so that none is all of a table."""
    project = FaultyProject()
    project.tables = {
        table: [row_of(table, number) for number in range(30, 0, -1)] for table in TABLES
    }
    return project


@pytest.fixture
def rest(project: FaultyProject) -> Iterator[Rest]:
    with serving(project) as rest:
        yield rest


def row_of(table: str, number: int) -> dict[str, Any]:
    """A row of any table; 0 is the newest."""
    if table == "model_artifacts":
        return model_row(number)
    if table == "notifications":
        return notice_row(number, read=number != 5)
    at = timestamp_text(NOW - timedelta(days=number))
    row = {"id": identifier(table, number), "user_id": USER, "name": "N", "status": "completed"}
    return row | {"created_at": at, "updated_at": at, "recorded_at": at, "amount": 1}


class Rounds:
    """Answers when as many requests are there as the round has; more rounds than planned fail."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes, self._lock = list(sizes), threading.Lock()
        self._there = 0
        self._full = threading.Event()

    def __call__(self, table: str, query: dict[str, str]) -> tuple[int, Any] | None:
        with self._lock:
            if not self._sizes:
                return 400, {"code": "test", "message": f"a request too many: {table} {query}"}
            self._there += 1
            full = self._full
            if self._there == self._sizes[0]:
                self._sizes.pop(0)
                self._there, self._full = 0, threading.Event()
                full.set()
        if not full.wait(PATIENCE):
            return 400, {"code": "test", "message": "the other requests of the round never came"}
        return None

    @property
    def left(self) -> list[int]:
        return self._sizes


def in_rounds(project: FaultyProject, sizes: Sequence[int], sync: Callable[[], Any]) -> Any:
    """The result of a sync whose requests come in rounds of just these sizes."""
    rounds = Rounds(sizes)
    project.refused = rounds
    result = sync()
    assert rounds.left == []
    return result


def test_a_sync_with_nothing_new_waits_for_one_answer(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    report = in_rounds(project, [6], lambda: sync_cache(rest, db, USER))  # tables, and flags
    assert set(report.written.values()) == {0}


def test_a_small_project_needs_no_request_more_in_a_new_process(
    project: FaultyProject, db: sqlite3.Connection
) -> None:
    for table in TABLES:
        project.tables[table] = project.tables[table][-3:]
    with serving(project) as rest:
        sync_cache(rest, db, USER)
    with serving(project) as rest:
        in_rounds(project, [5], lambda: sync_cache(rest, db, USER))


def test_news_in_every_table_come_in_the_second_round(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    for table in TABLES:
        project.tables[table].append(row_of(table, 0))
    # after them the points of the new model
    report = in_rounds(project, [6, 5, 1], lambda: sync_cache(rest, db, USER))
    assert report.written == dict.fromkeys(TABLES, 1)


def test_the_first_sync_reads_all_tables_at_once(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["model_artifacts"] = []
    # with the number of models, and then the ends of the tables
    in_rounds(project, [6, 4], lambda: sync_cache(rest, db, USER))


def test_a_read_between_two_syncs_waits_for_one_answer(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    in_rounds(project, [2], lambda: sync_running(rest, db, USER))


# Curves -----------------------------------------------------------------------------------------


def with_curves(project: FaultyProject, count: int) -> list[str]:
    """As many models, each of a job with three points; the jobs."""
    jobs = [identifier("job", number) for number in range(count)]
    project.tables = {
        "model_artifacts": [model_row(number) for number in range(count)],
        "metrics_points": [
            {
                "id": identifier(f"point {job}", step),
                "job_id": job,
                "timestamp": f"2026-11-20T10:00:0{step}+00:00",
                "step": step,
                "training_loss": 2.0,
            }
            for job in jobs
            for step in range(3)
        ],
    }
    return jobs


def are_whole(db: sqlite3.Connection, jobs: Sequence[str]) -> bool:
    return all(len(metrics.get_points(db, job)) == 3 for job in jobs)


def test_curves_are_asked_for_at_once_and_never_more_than_so_many(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    jobs = with_curves(project, 3 * AT_ONCE)
    lock, several = threading.Lock(), threading.Barrier(AT_ONCE)
    now = most = 0

    def count(table: str, _query: dict[str, str]) -> None:
        nonlocal now, most
        if table == "metrics_points":
            with lock:
                now += 1
                most = max(most, now)
            several.wait(PATIENCE)  # raises where they don't come at once
            with lock:
                now -= 1

    project.refused = count
    assert sync_cache(rest, db, USER).curves == len(jobs)
    assert are_whole(db, jobs)
    assert most == AT_ONCE


def test_a_connection_that_breaks_at_one_curve_loses_no_other(
    project: FaultyProject, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httpx_retries.retry.time.sleep", lambda _: None)
    jobs = with_curves(project, AT_ONCE)
    send = Rest.send
    others = threading.Barrier(AT_ONCE)

    def breaks(rest: Rest, query: Any) -> Any:
        job = query.request.params.get("job_id", "")
        if job and not query.request.params.get("or"):
            others.wait(PATIENCE)
        if job == f"eq.{jobs[3]}":
            raise UnreachableError("The connection broke")
        return send(rest, query)

    with serving(project) as rest:
        monkeypatch.setattr(Rest, "send", breaks)
        with pytest.raises(UnreachableError):
            sync_cache(rest, db, USER)
        assert are_whole(db, [job for job in jobs if job != jobs[3]])
        assert metadata.get_sync_state(db).last_success  # the list is complete without it
        monkeypatch.setattr(Rest, "send", send)
        assert sync_cache(rest, db, USER).curves == 1
    assert are_whole(db, jobs)


class Killed(BaseException):
    """The process ends here."""


def test_a_sync_that_is_killed_among_its_curves_continues_with_the_others(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    jobs = with_curves(project, 2 * AT_ONCE)

    def progress(table: str, done: int) -> None:
        if (table, done) == ("curves", 3):
            raise Killed

    with pytest.raises(Killed):
        sync_cache(rest, db, USER, progress=progress)
    whole = [job for job in jobs if are_whole(db, [job])]
    assert len(whole) >= 3
    sync_cache(rest, db, USER)
    assert are_whole(db, jobs)


# Errors -----------------------------------------------------------------------------------------


def test_two_tables_that_fail_stop_no_other(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.refused = lambda table, _query: (
        (403, DENIED) if table in ("datasets", "notifications") else None
    )
    with pytest.raises(DeniedError, match="datasets"):
        sync_cache(rest, db, USER)
    for table in ("jobs", "models", "cost_records"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 30
    project.refused = lambda _table, _query: None
    sync_cache(rest, db, USER)
    for table in ("datasets", "notifications"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 30
