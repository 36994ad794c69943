"""Following runs: each new point comes once, in few requests, and none is missing in the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest

from lora_tui.cache import drawing, metrics
from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache, path_of, transaction
from lora_tui.cache.integrity import check_integrity
from lora_tui.cache.jobs import get_job, put_jobs
from lora_tui.cache.live_curves import lacks_earlier
from lora_tui.cache.thinning import is_thinned, thin_old_runs
from lora_tui.clock import timestamp_text
from lora_tui.errors import QueryTimeoutError, UnreachableError
from lora_tui.fetching.curves import pull_curve
from lora_tui.fetching.live import COUNT_SECONDS, LivePoints
from lora_tui.gateway.live_points import requests_of, windows_of
from lora_tui.gateway.rest import Rest
from tests.sync.faulty_server import TIMED_OUT, USER, FaultyProject, serving
from tests.tui.library import identifier

START: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
JOBS: Final = [identifier("job", number) for number in range(50)]
JOB: Final = JOBS[0]


def logged(job: str, count: int, *, first: int = 0, every: float = 1.0) -> list[dict[str, Any]]:
    """Rows of points; the same number of a job is the same row."""
    return [
        {
            "id": identifier(f"point {job}", number),
            "job_id": job,
            "timestamp": timestamp_text(START + timedelta(seconds=every * number)),
            "step": number,
            "training_loss": 2.0 / (1 + number / 50),
        }
        for number in range(first, first + count)
    ]


def put_job(db: sqlite3.Connection, job: str, status: str = "running") -> None:
    with transaction(db):
        put_jobs(db, [{"id": job, "user_id": USER, "status": status}])


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def project() -> FaultyProject:
    made = FaultyProject()
    made.tables["metrics_points"] = []
    return made


@pytest.fixture
def rest(project: FaultyProject) -> Iterator[Rest]:
    with serving(project) as rest:
        yield rest


@pytest.fixture
def live(rest: Rest, clock: Clock) -> LivePoints:
    return LivePoints(rest, timer=clock)


def is_equal(db: sqlite3.Connection, project: FaultyProject, job: str = JOB) -> bool:
    """Whether the cache has the points of the project, each once, and is healthy."""
    check_integrity(db)
    there = sorted(
        (row["timestamp"], row["id"])
        for row in project.tables["metrics_points"]
        if row["job_id"] == job
    )
    return [(p.timestamp, p.id) for p in metrics.get_points(db, job)] == there


def test_fifty_runs_at_the_same_pace_take_one_request(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    points = project.tables["metrics_points"]
    for job in JOBS:
        points += logged(job, 8)
    for _ in range(15):
        live.read(db, JOBS)
    feed = ChangeFeed(other := open_cache(path_of(db)))
    for first in (8, 13):
        project.asked.clear()
        for job in JOBS:
            points += logged(job, 5, first=first)
        assert live.read(db, JOBS) == (250, False)
        assert feed.poll() == {Topic.CURVES}
    assert len(project.asked) == 1  # the first longer page asks whether there is more
    assert len(project.asked[0]) < 4_000
    other.close()
    assert all(is_equal(db, project, job) for job in JOBS[:3])


def test_runs_at_different_times_are_asked_for_from_their_own_ones(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    stalled, begins = JOBS[1], JOBS[2]
    project.tables["metrics_points"] = logged(JOB, 900) + logged(stalled, 300)
    while live.read(db, [JOB, stalled, begins]).more:
        pass
    project.tables["metrics_points"] += [*logged(JOB, 5, first=900), *logged(begins, 2)]
    sent: list[int] = []
    project.sent = lambda _table, rows: sent.append(len(rows)) or rows
    assert live.read(db, [JOB, stalled, begins]) == (7, False)
    assert sent == [5 + 6 + 6 + 2]  # the new ones, and a few known ones of each
    for job in (JOB, stalled, begins):
        assert is_equal(db, project, job)


@pytest.mark.parametrize("max_rows", [7, 100, 1000])
def test_more_points_than_a_page_holds_come_page_by_page(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection, max_rows: int
) -> None:
    project.max_rows = max_rows
    project.tables["metrics_points"] = logged(JOB, 20) + logged(JOBS[1], 20)
    live.read(db, JOBS[:2])
    project.tables["metrics_points"] += [
        *logged(JOB, 60, first=20),
        *logged(JOBS[1], 60, first=20),
    ]
    while live.read(db, JOBS[:2]).more:
        pass
    assert is_equal(db, project, JOB)
    assert is_equal(db, project, JOBS[1])


def test_many_points_of_one_moment_are_all_read(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(JOB, 10)
    live.read(db, [JOB])
    project.max_rows = 10
    project.tables["metrics_points"] += [
        row | {"timestamp": timestamp_text(START + timedelta(hours=1))}
        for row in logged(JOB, 35, first=10)
    ]
    while live.read(db, [JOB]).more:
        pass
    assert is_equal(db, project)


def test_a_point_that_comes_a_little_late_is_read_by_the_next_request(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    points = logged(JOB, 30)
    late = points.pop(26)
    project.tables["metrics_points"] = points
    live.read(db, [JOB])
    project.tables["metrics_points"] = [*points, late, *logged(JOB, 2, first=30)]
    assert live.read(db, [JOB]).points == 3
    assert is_equal(db, project)
    assert len(metrics.get_curve(db, JOB)) == 32


def test_points_of_a_long_transaction_are_found_within_a_minute(
    project: FaultyProject, live: LivePoints, clock: Clock, db: sqlite3.Connection
) -> None:
    points = logged(JOB, 200)
    late = [points.pop(40) for _ in range(3)]
    project.tables["metrics_points"] = points + logged(JOBS[1], 200)
    live.read(db, JOBS[:2])
    project.tables["metrics_points"] += late
    assert live.read(db, JOBS[:2]).points == 0
    clock.seconds += COUNT_SECONDS
    assert live.read(db, JOBS[:2]).points == 3
    assert is_equal(db, project)
    asked = len(project.asked)
    clock.seconds += COUNT_SECONDS
    live.read(db, JOBS[:2])
    assert len(project.asked) == asked + 2  # the points, and their number


def test_a_point_from_the_future_hides_none_that_come_after_it(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    ahead = logged(JOB, 1, first=10_000_000)
    project.tables["metrics_points"] = logged(JOB, 20) + ahead
    live.read(db, [JOB])
    project.tables["metrics_points"] += logged(JOB, 5, first=20)
    assert live.read(db, [JOB]).points == 5
    assert is_equal(db, project)


def test_points_of_jobs_that_were_not_asked_for_are_left_out(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(JOB, 80)
    live.read(db, [JOB])
    project.sent = lambda _table, rows: [*rows, *logged(JOBS[9], 3), {"id": 7}, {}]
    live.read(db, [JOB])
    assert is_equal(db, project)
    assert metrics.get_points(db, JOBS[9]) == []


def test_a_run_that_ends_gets_its_last_points_and_is_compared_as_a_whole(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    points = logged(JOB, 700)
    late = points.pop(3)
    project.tables["metrics_points"] = points
    put_job(db, JOB)
    live.read(db, [JOB])
    assert metrics.unfinished_jobs(db) == []
    put_job(db, JOB, "completed")
    assert metrics.unfinished_jobs(db) == [JOB]
    project.tables["metrics_points"] += [late, *logged(JOB, 9, first=700)]
    live.finish(db, JOB)
    assert metrics.unfinished_jobs(db) == []
    assert is_equal(db, project)


def test_a_run_whose_end_was_missed_is_read_to_its_end_by_the_next_process(
    project: FaultyProject, live: LivePoints, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(JOB, 30)
    put_job(db, JOB)
    live.read(db, [JOB])
    project.tables["metrics_points"] += logged(JOB, 5, first=30)
    live.read(db, [JOB])
    pull_curve(rest, db, JOB)  # somebody opens it
    put_job(db, JOB, "failed")
    project.tables["metrics_points"] += logged(JOB, 5, first=35)
    for job_id in metrics.unfinished_jobs(db):
        LivePoints(rest).finish(db, job_id)
    assert is_equal(db, project)


def test_one_run_that_cannot_be_read_holds_up_no_other(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.tables["metrics_points"] = logged(JOB, 8) + logged(JOBS[1], 8)
    project.refused = lambda _table, query: (
        (500, TIMED_OUT) if query.get("job_id") == f"eq.{JOB}" else None
    )
    live.read(db, JOBS[:2])
    assert is_equal(db, project, JOBS[1])
    project.refused = lambda _table, _query: (500, TIMED_OUT)
    with pytest.raises(QueryTimeoutError):
        live.read(db, JOBS[:2])


def test_a_job_tells_the_losses_of_its_newest_point_whatever_its_row_says(
    project: FaultyProject, live: LivePoints, rest: Rest, db: sqlite3.Connection
) -> None:
    def put(step: int) -> None:
        metrics_of_row = {"training_loss": 9.0, "validation_loss": 8.0}
        row = {"id": JOB, "user_id": USER, "status": "running", "current_step": step}
        with transaction(db):
            put_jobs(db, [row | {"current_metrics": metrics_of_row}])

    def losses() -> tuple[float | None, float | None]:
        found = get_job(db, JOB)
        assert found is not None
        return found.job.training_loss, found.job.validation_loss

    table = project.tables["metrics_points"]
    table += logged(JOB, 20)
    put(3)
    assert losses() == (9.0, 8.0)
    live.read(db, [JOB])
    assert losses() == (2.0 / (1 + 19 / 50), 8.0)
    table += logged(JOB, 5, first=20)
    table[22]["validation_loss"] = 0.75
    table[24]["training_loss"] = "NaN"
    live.read(db, [JOB])
    assert losses() == (2.0 / (1 + 23 / 50), 0.75)
    table += logged(JOB, 1, first=25)
    read_to_the_end(live, db, [JOB])
    assert losses() == (2.0 / (1 + 25 / 50), 0.75)
    pull_curve(rest, db, JOB)
    assert losses() == (2.0 / (1 + 25 / 50), 0.75)
    put(100)  # the row is of a later step
    assert losses() == (9.0, 8.0)


def test_a_curve_that_grows_has_the_shape_of_one_that_is_drawn_whole(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    table = project.tables["metrics_points"]
    table += logged(JOB, 10)
    live.read(db, [JOB])
    for first in range(10, 4_010, 250):
        table += logged(JOB, 250, first=first)
        table[first + 100]["training_loss"] = 5.0
        table[first + 120]["training_loss"] = "NaN"
        live.read(db, [JOB])
    grown = metrics.get_curve(db, JOB)
    assert len(grown) <= metrics.CHART_POINTS
    assert [point.step for point in grown] == sorted(point.step for point in grown)
    assert grown[-1].step == 4_009
    assert sum(point.training_loss == 5.0 for point in grown) == 16
    assert sum(point.after_gap for point in grown) == 16
    halves = sum(point.step < 2_005 for point in grown) / len(grown)
    assert 0.35 < halves < 0.65  # the beginning is drawn as closely as the end
    assert is_equal(db, project)


def test_old_runs_keep_some_hundred_points_and_are_fetched_again_when_opened(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    old, new, runs = JOBS[:3]
    for job, status in ((old, "completed"), (new, "completed"), (runs, "running")):
        put_job(db, job, status)
        project.tables["metrics_points"] += logged(job, 3_000)
    project.tables["metrics_points"][500] |= {"training_loss": 9.0, "validation_loss": 1.5}
    project.tables["metrics_points"] += logged(new, 1, first=3_000)
    for job in (old, new, runs):
        pull_curve(rest, db, job)
    before = metrics.get_curve(db, old)
    assert thin_old_runs(db, 1) == 1
    assert [is_thinned(db, job) for job in (old, new, runs)] == [True, False, False]
    check_integrity(db)
    kept = metrics.get_points(db, old)
    assert 250 < len(kept) < 1_500
    assert max(point.training_loss or 0 for point in kept) == 9.0
    assert kept[-1].step == 2_999
    assert metrics.get_curve(db, old) == before
    assert old not in metrics.jobs_with_points(db)
    assert thin_old_runs(db, 1) == 0
    pull_curve(rest, db, old)
    assert is_equal(db, project, old)
    assert not is_thinned(db, old)


def lately(job: str, count: int, *, every: float = 1.0) -> list[dict[str, Any]]:
    """Points of which the last one was logged a moment ago."""
    start = datetime.now(UTC) - timedelta(seconds=every * count)
    return [
        row | {"timestamp": timestamp_text(start + timedelta(seconds=every * number))}
        for number, row in enumerate(logged(job, count))
    ]


def last_step(db: sqlite3.Connection, job: str) -> float | None:
    points = metrics.get_points(db, job, last=1)
    return points[0].step if points else None


def read_to_the_end(live: LivePoints, db: sqlite3.Connection, jobs: list[str]) -> None:
    while live.read(db, jobs).more:
        pass


def test_the_newest_points_of_many_runs_come_in_the_first_request_and_all_others_behind(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    jobs = JOBS[:10]
    project.max_rows = 200
    for job in jobs:
        project.tables["metrics_points"] += lately(job, 900)
    assert live.read(db, jobs).more
    newest = next(n for n, asked in enumerate(project.asked) if "timestamp.desc" in asked)
    assert newest == 0
    assert [last_step(db, job) for job in jobs] == [899] * 10
    read_to_the_end(live, db, jobs)
    assert all(is_equal(db, project, job) for job in jobs)
    assert [metrics.get_curve(db, job)[-1].step for job in jobs] == [899] * 10
    assert len(project.asked) < 10 * (900 // 200 + 3)


def test_runs_that_log_slowly_are_not_hidden_by_one_that_logs_fast(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.max_rows = 100
    slow = JOBS[1:6]
    project.tables["metrics_points"] = lately(JOB, 2_000, every=0.1)
    for job in slow:
        project.tables["metrics_points"] += lately(job, 30, every=100)
    live.read(db, JOBS[:6])
    assert [last_step(db, job) for job in slow] == [29] * 5
    read_to_the_end(live, db, JOBS[:6])
    assert all(is_equal(db, project, job) for job in JOBS[:6])


def test_new_points_come_while_earlier_ones_are_still_missing(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.max_rows = 50
    points = lately(JOB, 1_000)
    project.tables["metrics_points"] = points[:900]
    assert live.read(db, [JOB]).more
    for end in (950, 1_000):
        project.tables["metrics_points"] = points[:end]
        live.read(db, [JOB])
        assert last_step(db, JOB) == end - 1
    read_to_the_end(live, db, [JOB])
    assert is_equal(db, project)


def test_a_run_of_few_recent_points_has_no_gap_behind_them(
    project: FaultyProject, live: LivePoints, db: sqlite3.Connection
) -> None:
    project.max_rows = 40
    project.tables["metrics_points"] = lately(JOB, 800, every=200)
    live.read(db, [JOB])
    assert last_step(db, JOB) == 799
    read_to_the_end(live, db, [JOB])
    assert is_equal(db, project)


def test_earlier_points_that_a_process_has_not_fetched_are_fetched_by_the_next(
    project: FaultyProject, live: LivePoints, rest: Rest, db: sqlite3.Connection
) -> None:
    project.max_rows = 50
    for job in JOBS[:3]:
        project.tables["metrics_points"] += lately(job, 1_000)
    live.read(db, JOBS[:3])
    check_integrity(db)
    read_to_the_end(LivePoints(rest), db, JOBS[:3])
    assert all(is_equal(db, project, job) for job in JOBS[:3])


def test_a_run_that_is_opened_or_ends_before_its_earlier_points_came_gets_all(
    project: FaultyProject, live: LivePoints, rest: Rest, db: sqlite3.Connection
) -> None:
    project.max_rows = 50
    opened, ended = JOBS[:2]
    for job in (opened, ended):
        put_job(db, job)
        project.tables["metrics_points"] += lately(job, 1_000)
    live.read(db, [opened, ended])
    pull_curve(rest, db, opened)
    assert is_equal(db, project, opened)
    assert not lacks_earlier(db, opened)
    put_job(db, ended, "failed")
    live.finish(db, ended)
    assert is_equal(db, project, ended)
    assert not lacks_earlier(db, ended)


def test_without_a_network_the_cache_stays_as_it_is(db: sqlite3.Connection) -> None:
    import httpx

    with Rest("http://127.0.0.1:9", httpx.Auth()) as rest, pytest.raises(UnreachableError):
        LivePoints(rest).read(db, [JOB])


def test_a_query_for_runs_that_all_stalled_at_other_times_fits_into_urls() -> None:
    since = {job: START - timedelta(hours=number) for number, job in enumerate(JOBS)}
    groups = list(requests_of(windows_of(since)))
    assert len(groups) <= 2
    assert {job for group in groups for window in group for job in window.job_ids} == {*JOBS}
    for group in groups:
        assert len(",".join(window.condition for window in group)) < 6_000


def test_two_requests_of_one_read_are_never_sent_at_once(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    for number, job in enumerate(JOBS):  # all at other times: more than one URL holds
        project.tables["metrics_points"] += logged(job, 8, first=3_600 * number)
    live = LivePoints(rest, pause=lambda: project.asked.append("pause"))
    while live.read(db, JOBS).more:
        pass
    project.asked.clear()
    live.read(db, JOBS)
    assert len({*project.asked} - {"pause"}) > 1
    assert all("pause" in neighbours for neighbours in pairwise(project.asked))


def test_a_check_of_the_cache_sees_one_state_while_points_come(
    project: FaultyProject,
    live: LivePoints,
    db: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project.tables["metrics_points"] = logged(JOB, 20) + logged(JOBS[1], 20)
    live.read(db, JOBS[:2])
    project.tables["metrics_points"] += logged(JOB, 5, first=20) + logged(JOBS[1], 5, first=20)
    real, reads = drawing.sum_of_points, []

    def sum_of_points(other: sqlite3.Connection, job_id: str) -> tuple[int, int]:
        if not reads:
            reads.append(live.read(db, JOBS[:2]).points)
        return real(other, job_id)

    monkeypatch.setattr("lora_tui.cache.integrity.sum_of_points", sum_of_points)
    with closing(open_cache(path_of(db))) as other:
        check_integrity(other)
    assert reads == [10]
