"""When the engine follows runs: while one runs, by the leader, less often when nothing comes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from lora_tui.cache import metrics
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.jobs import get_job, put_jobs, running_jobs
from lora_tui.domain import MetricPoint
from lora_tui.engine.live import JOB_SECONDS, REQUEST_SECONDS, SUSPENDED_SECONDS, LiveSync, Needs
from lora_tui.engine.running_jobs import sync_running
from lora_tui.errors import ending_error
from lora_tui.fetching.live import LiveTally
from lora_tui.sync import sync_cache
from tests.pseudo_terminal import PATIENCE
from tests.sync.faulty_server import FaultyProject, serving
from tests.tui.library import USER, identifier
from tests.waiting import until

JOB: Final = identifier("job", 0)


class Online:
    """In place of `OnlineWriters`; notes what was asked for."""

    rest = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.tallies: list[LiveTally] = []
        self.news = False

    def sync_running(self) -> bool:
        self.asked.append("jobs")
        return self.news

    def sync(self) -> Any:
        self.asked.append("sync")
        return SimpleNamespace(skipped=False)

    def read(self, _db: sqlite3.Connection, job_ids: list[str]) -> LiveTally:
        self.asked.append(f"points of {len(job_ids)}")
        return self.tallies.pop(0) if self.tallies else LiveTally(0, more=False)

    def finish(self, db: sqlite3.Connection, job_id: str) -> None:
        self.asked.append(f"end of {job_id}")
        with transaction(db):
            metrics.mark_live(db, job_id, live=False)


class Clock:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def online(tmp_path: Path) -> Online:
    return Online(tmp_path / "cache.sqlite3")


@pytest.fixture
def live(online: Online, clock: Clock) -> Iterator[LiveSync]:
    live = following(online, clock)
    yield live
    live.stop()


def following(online: Online, clock: Clock, *, leads: bool = True) -> LiveSync:
    @contextmanager
    def cache() -> Iterator[sqlite3.Connection]:
        with closing(open_cache(online.path)) as db:
            yield db

    live = LiveSync(Needs(cache, lambda: online, lambda: leads), timer=clock)  # type: ignore[arg-type, return-value]
    live.points = online  # type: ignore[assignment]
    live.read_at(clock())
    return live


def put(online: Online, status: str) -> None:
    with closing(open_cache(online.path)) as db, transaction(db):
        put_jobs(db, [{"id": JOB, "user_id": USER, "status": status}])


def test_while_nothing_runs_nothing_is_asked_and_only_a_sync_can_tell(
    online: Online, live: LiveSync
) -> None:
    for status in ("queued", "completed", "failed"):
        put(online, status)
        assert live.read_due() is None
    assert online.asked == []


def test_an_engine_that_does_not_lead_leaves_it_to_the_one_that_does(
    online: Online, clock: Clock
) -> None:
    put(online, "running")
    assert following(online, clock, leads=False).read_due() is None
    assert online.asked == []


def test_points_come_every_five_seconds_and_jobs_every_ten(
    online: Online, live: LiveSync, clock: Clock
) -> None:
    put(online, "running")
    online.tallies = [LiveTally(3, more=False)] * 9
    for _ in range(4):
        assert live.read_due() == 5.0
        clock.seconds += 5.0
    assert online.asked == ["points of 1"] * 2 + ["jobs", "points of 1"] + ["points of 1"]


def test_a_changed_interval_is_used_without_a_restart(online: Online, live: LiveSync) -> None:
    put(online, "running")
    live.use_interval(2.0)
    assert live.read_due() == pytest.approx(2.0)


def test_an_interval_of_a_minute_is_kept_while_jobs_are_read_every_ten_seconds(
    online: Online, live: LiveSync, clock: Clock
) -> None:
    put(online, "running")
    live.use_interval(60.0)
    for _ in range(13):
        assert live.read_due() == JOB_SECONDS
        clock.seconds += JOB_SECONDS
    assert online.asked.count("points of 1") == 3
    assert online.asked.count("jobs") == 12


def test_waits_grow_while_no_point_comes_and_the_next_point_ends_that(
    online: Online, live: LiveSync
) -> None:
    put(online, "running")
    waits = [live.read_due() or 0.0 for _ in range(6)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5.0, JOB_SECONDS)
    online.tallies = [LiveTally(1, more=False), LiveTally(1_000, more=True)]
    assert live.read_due() == 5.0
    assert live.read_due() == REQUEST_SECONDS


def test_a_job_that_ends_gets_its_last_points_and_a_sync_at_once(
    online: Online, live: LiveSync
) -> None:
    point = MetricPoint("p", "2026-11-20T10:00:00+00:00", 1, None, 1.0, None)
    put(online, "running")
    live.read_due()
    with closing(open_cache(online.path)) as db, transaction(db):
        metrics.add_points(db, JOB, [point])
        metrics.draw_curve(db, JOB)
        metrics.mark_live(db, JOB)
    put(online, "completed")
    live.read_due()
    assert online.asked[1:] == ["points of 0", f"end of {JOB}", "sync"]
    assert live.read_due() is None


def test_a_lost_connection_is_told_at_once_and_so_is_its_return(
    online: Online, live: LiveSync
) -> None:
    put(online, "running")
    live.note_failure()
    assert online.asked == ["sync"]  # it fails too, and notes in the cache why
    live.note_failure()
    assert online.asked == ["sync"]
    live.note_success()
    live.read_due()
    assert online.asked[-1] == "sync"


def test_a_notification_that_comes_is_followed_by_a_sync(
    online: Online, live: LiveSync, clock: Clock
) -> None:
    put(online, "running")
    clock.seconds += JOB_SECONDS
    online.news = True
    live.read_due()
    assert online.asked == ["jobs", "points of 1", "sync"]


def test_no_jobs_are_read_while_an_ordinary_sync_runs(
    online: Online, live: LiveSync, clock: Clock
) -> None:
    put(online, "running")
    clock.seconds += JOB_SECONDS
    with live.without_job_reads():
        live.read_due()
    assert online.asked == ["points of 1"]


def test_while_the_application_is_suspended_nothing_more_is_asked(
    online: Online, live: LiveSync, clock: Clock
) -> None:
    was_suspended: list[bool] = []

    def read(_db: sqlite3.Connection, _job_ids: list[str]) -> LiveTally:
        was_suspended.append(live.is_suspended)
        return LiveTally(0, more=False)

    online.read = read  # type: ignore[method-assign]
    put(online, "running")
    clock.seconds += SUSPENDED_SECONDS + 1
    live.wake()
    until(lambda: len(was_suspended) == 1)
    live.wake()
    live.note_request()
    until(lambda: len(was_suspended) == 2)
    assert was_suspended == [True, False]


def test_the_first_sync_starts_the_thread_and_it_ends_when_told(
    online: Online, live: LiveSync
) -> None:
    put(online, "completed")
    live.wake()
    thread = live.thread
    assert thread is not None
    live.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.parametrize("error", [ending_error(), RuntimeError("the client is closed")])
def test_what_fails_because_the_engine_ends_is_no_fault_and_stands_in_no_log(
    online: Online, live: LiveSync, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def read(_db: sqlite3.Connection, _job_ids: list[str]) -> LiveTally:
        live.stop()
        raise error

    put(online, "running")
    online.read = read  # type: ignore[method-assign]
    live.wake()
    assert live.thread is not None
    live.thread.join(PATIENCE)
    assert not live.thread.is_alive()
    assert not caplog.records
    assert "sync" not in online.asked


def test_between_two_syncs_changed_jobs_and_new_notifications_are_read_in_few_requests(
    tmp_path: Path,
) -> None:
    project = FaultyProject()
    job = {"id": JOB, "user_id": USER, "status": "running", "updated_at": "2026-11-20T10:00:00Z"}
    project.tables |= {"training_jobs": [job], "notifications": []}
    with serving(project) as rest, closing(open_cache(tmp_path / "c.sqlite3")) as db:
        assert not sync_running(rest, db, USER)  # the first sync is still to come
        assert project.asked == []
        sync_cache(rest, db, USER)
        project.asked.clear()
        assert not sync_running(rest, db, USER)
        assert len(project.asked) <= 4
        job |= {"progress": 50, "updated_at": "2026-11-20T10:05:00Z"}
        assert not sync_running(rest, db, USER)
        assert (found := get_job(db, JOB)) is not None
        assert found.job.progress == 50
        moment = "2026-11-20T10:06:00Z"
        news = {"id": identifier("n", 1), "user_id": USER, "title": "Failed", "created_at": moment}
        project.tables["notifications"] = [news]
        assert sync_running(rest, db, USER)
        job |= {"status": "failed", "updated_at": "2026-11-20T10:07:00Z"}
        assert sync_running(rest, db, USER)
        assert running_jobs(db) == []
