"""What a machine remembers from cycle to cycle: who waits, who failed and why, who never again."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lora_tui import clock
from lora_tui.errors import DiskError
from lora_tui.harvest.events import CycleStarted, JobStarted, ResultExpiring, ResultLost
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.ledger_schema import State
from lora_tui.harvest.schedule import JOB_BACKOFF, wait_after
from lora_tui.processes import is_process_alive, new_identity
from tests.harvest.world import World, failures, printed

MINUTE = timedelta(minutes=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.sqlite3")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the clock."""

    def set_clock(moment: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: moment)

    return set_clock


def fail(ledger: Ledger, job_id: str, *, permanent: bool = False) -> datetime | None:
    return ledger.failed(
        job_id, reason="It broke", details="HTTP 500", remedy=None, permanent=permanent
    )


def spoil(ledger: Ledger) -> None:
    """As a failing disk would, under those who have it open."""
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = ledger.path.stat().st_size
    with ledger.path.open("r+b") as file:
        file.write(b"\xff" * size)
    ledger._db.execute("PRAGMA shrink_memory")


def test_a_failed_job_is_not_asked_for_again_before_its_time(
    world: World, at: Callable[[datetime], None]
) -> None:
    job = world.jobs()[0]
    path = f"/worker-files/{job['external_job_id']}/tokenizer.json"
    world.sandbox.faults(path=path, fail_next=-1, status=500)
    _, events = world.run()
    next_try = clock.parse_timestamp(failures(events)[job["id"]].next_try)
    assert next_try is not None
    assert re.search(r"– tried again in 00:[234]\d\b", printed(events))
    world.sandbox.clear_faults()

    world.sandbox.forget_requests()
    result, events = world.run()
    assert (result.harvested, result.failed) == (0, 0)
    assert isinstance(events[0], CycleStarted)
    assert (events[0].waiting, events[0].later) == (0, 1)
    assert world.requested("GET", "/v2/") == []

    at(next_try + timedelta(seconds=1))
    assert world.run()[0].harvested == 1
    world.check_complete()


def test_a_clock_that_was_ahead_for_a_while_holds_no_job_up(
    ledger: Ledger, at: Callable[[datetime], None]
) -> None:
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    at(now + timedelta(days=1))
    fail(ledger, "a")
    at(now)
    later, _ = ledger.not_due()
    assert later == frozenset()


def test_a_ledger_that_is_damaged_meanwhile_is_made_anew(world: World) -> None:
    harvester = world.harvester()
    world.run(harvester, limit=1)
    spoil(harvester.ledger)
    result, _ = world.run(harvester)
    assert result.harvested == 3
    assert harvester.ledger.models_made() == 4  # the project knows those of before
    world.check_complete()


def test_a_ledger_that_another_process_holds_stops_no_harvest(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.ledger_schema.BUSY_SECONDS", 0.0)
    harvester = pair.harvester()
    with closing(sqlite3.connect(harvester.ledger.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        result, events = pair.run(harvester)
    assert failures(events) == {}
    assert result.harvested == 2
    pair.check_complete()


def test_finished_jobs_stay_counted_where_the_project_shows_only_the_last_ones(
    ledger: Ledger, at: Callable[[datetime], None]
) -> None:
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    for number in range(4):
        at(now + number * MINUTE)
        ledger.done(f"job {number}", "Model", "artifact", 5)
    both = [job for job in ledger.jobs() if job.job_id in ("job 2", "job 3")]
    ledger.replace(both, "here/1/a")
    assert ledger.models_made() == 4
    ledger.replace([job for job in both if job.job_id == "job 2"], "here/1/a")
    assert [job.job_id for job in ledger.jobs()] == ["job 2", "job 1", "job 0"]
    at(now + timedelta(days=14, minutes=2))
    ledger.replace(both, "here/1/a")
    assert ledger.models_made() == 2
    ledger.replace([], "here/1/a")
    assert ledger.models_made() == 0


def test_of_many_finished_jobs_the_newest_are_read(
    ledger: Ledger, at: Callable[[datetime], None]
) -> None:
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    for number in range(5):
        at(now + number * MINUTE)
        ledger.done(f"job {number}", "Model", "artifact", 5)
        ledger.stored(f"job {number}", "weights.bin", 10)
    fail(ledger, "failed")
    assert [job.job_id for job in ledger.jobs(most_done=2)] == ["failed", "job 4", "job 3"]
    assert [len(job.files) for job in ledger.jobs(most_done=2)] == [0, 1, 1]
    assert len(ledger.jobs()) == 6


def test_a_ledger_that_a_disk_does_not_give_is_said_in_a_sentence(ledger: Ledger) -> None:
    fail(ledger, "a")
    ledger._db.execute("DROP TABLE jobs")
    for read in (ledger.jobs, ledger.models_made, ledger.not_due):
        with pytest.raises(DiskError, match="The harvest's state can't be read"):
            read()


def test_a_lost_job_is_never_asked_for_again_until_somebody_wants_it(pair: World) -> None:
    job = pair.jobs()[0]
    pair.sandbox.faults(vanish=[job["external_job_id"]])
    _, events = pair.run()
    assert [event.job_id for event in events if isinstance(event, ResultLost)] == [job["id"]]

    pair.sandbox.forget_requests()
    _, events = pair.run(pair.harvester())
    assert isinstance(events[0], CycleStarted)
    assert (events[0].waiting, events[0].dead) == (0, 1)
    assert pair.requested("GET", "/v2/") == []

    pair.sandbox.clear_faults()
    pair.retry_all()
    assert pair.run()[0].harvested == 1
    pair.check_complete()


def test_what_the_worker_drops_next_comes_first_and_a_warning_is_given_once(
    world: World, at: Callable[[datetime], None]
) -> None:
    jobs = world.jobs()
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    at(now)
    for job, minutes in zip(jobs, (90, 5, 25, 22), strict=True):
        completed = clock.timestamp_text(now - minutes * MINUTE)
        world.change(f"training_jobs?id=eq.{job['id']}", completed_at=completed)
    _, events = world.run(dry_run=True)
    started = [event.job_id for event in events if isinstance(event, JobStarted)]
    assert started == [jobs[index]["id"] for index in (2, 3, 1, 0)]

    world.sandbox.faults(path="/worker-files", fail_next=-1)
    _, events = world.run()
    warned = [event for event in events if isinstance(event, ResultExpiring)]
    assert {event.job_id: event.seconds_left for event in warned} == {
        jobs[2]["id"]: 300,
        jobs[3]["id"]: 480,
    }
    world.home = world.home / "another machine"
    _, events = world.run()
    assert not any(isinstance(event, ResultExpiring) for event in events)


def test_waits_double_up_to_an_hour() -> None:
    waits = [wait_after(attempts, None) for attempts in range(1, 40)]
    for number, wait in enumerate(waits):
        meant = min(JOB_BACKOFF.longest, JOB_BACKOFF.first * 2**number)
        assert 0.75 * meant <= wait <= 1.25 * meant


def test_a_result_that_is_soon_gone_is_tried_again_while_it_is_there() -> None:
    assert all(wait_after(9, 600.0) <= 250 for _ in range(50))
    assert all(wait_after(9, 3.0) >= 7.5 for _ in range(50))
    assert wait_after(9, -60.0) >= 0.75 * JOB_BACKOFF.longest


def test_attempts_and_reasons_outlive_the_process(ledger: Ledger, tmp_path: Path) -> None:
    ledger.queue([{"id": "a"}, {"id": "b"}])
    first, second = fail(ledger, "a"), fail(ledger, "a")
    fail(ledger, "b", permanent=True)
    ledger.close()
    jobs = {job.job_id: job for job in Ledger(tmp_path / "state" / "ledger.sqlite3").jobs()}
    assert first is not None
    assert second is not None
    assert (jobs["a"].state, jobs["a"].attempts, jobs["a"].next_try) == (State.FAILED, 2, second)
    assert (jobs["b"].state, jobs["b"].next_try) == (State.DEAD, None)
    assert (jobs["b"].reason, jobs["b"].details) == ("It broke", "HTTP 500")


def test_what_left_the_queue_is_forgotten(ledger: Ledger) -> None:
    ledger.queue([{"id": "a"}, {"id": "b"}])
    fail(ledger, "a", permanent=True)
    ledger.queue([{"id": "b"}])
    assert [job.job_id for job in ledger.jobs()] == ["b"]


def test_a_job_whose_process_died_waits_again(ledger: Ledger) -> None:
    ledger.queue([{"id": "a"}])
    ledger.started("a", "Model", "host/999999999/x")
    assert ledger.jobs()[0].state is State.WAITING
    holder = new_identity()
    ledger.started("a", "Model", holder)
    assert ledger.jobs()[0].state is State.RUNNING
    ledger.queue([{"id": "a"}], "another harvester")
    assert ledger.jobs()[0].state is State.RUNNING
    ledger.queue([{"id": "a"}], holder)
    assert ledger.jobs()[0].state is State.WAITING


def test_a_new_process_with_the_number_of_a_dead_one_is_not_that_one() -> None:
    mine = new_identity()
    host, number, _ = mine.split("/")
    assert is_process_alive(mine)
    assert not is_process_alive(f"{host}/{number}/another")
    assert not is_process_alive("")
    assert not is_process_alive("host/not a number/x")


def test_a_running_job_shows_how_far_each_file_is(ledger: Ledger) -> None:
    ledger.started("a", "Model", new_identity())
    before = ledger.version()
    ledger.progress("a", "weights", 10, 100)
    ledger.stored("a", "config", 7)
    assert ledger.version() != before
    files = {file.name: file for file in ledger.jobs()[0].files}
    assert (files["weights"].done, files["weights"].total, files["weights"].stored) == (
        10,
        100,
        False,
    )
    assert files["config"].stored


def test_remote_words_in_the_ledger_are_safe_for_a_terminal(ledger: Ledger) -> None:
    ledger.queue([{"id": "a", "external_job_id": "\x1b[2Jx"}])
    ledger.started("a", "\x1b]0;owned\x07", "h/1/x")
    ledger.progress("a", "\x1b[31m", 1, 1)
    job = ledger.jobs()[0]
    shown = "".join((job.external_job_id, job.name, job.files[0].name))
    assert shown.isprintable()


def test_the_ledger_is_private(ledger: Ledger, tmp_path: Path) -> None:
    mode = (tmp_path / "state" / "ledger.sqlite3").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_damaged_ledger_is_made_anew_and_the_old_one_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    ledger = Ledger(path)
    ledger.queue([{"id": "a"}])
    assert [job.job_id for job in ledger.jobs()] == ["a"]
    assert path.with_name("ledger.sqlite3.damaged").exists()


def test_a_ledger_that_is_emptied_while_it_is_open_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_one = Ledger(path)
    open_one.queue([{"id": "a"}])
    os.truncate(path, 0)
    again = Ledger(path)
    again.queue([{"id": "b"}])
    assert [job.job_id for job in again.jobs()] == ["b"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a directory")
    with pytest.raises(DiskError):
        Ledger(tmp_path / "state" / "ledger.sqlite3")


def test_a_harvest_goes_on_where_its_notes_can_not_be_written(pair: World) -> None:
    harvester = pair.harvester()
    blocker = sqlite3.connect(ledger_path(pair.profile()))
    blocker.executescript(
        "CREATE TRIGGER no BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    blocker.close()
    assert pair.run(harvester)[0].harvested == 2
    pair.check_complete()


def test_a_job_at_which_harvesters_die_does_not_keep_the_others_from_their_turn(
    new_world: Callable[..., World],
) -> None:
    world = new_world(migrated=False)
    first, *others = (job["id"] for job in world.jobs())
    ledger = world.ledger()
    for _ in range(3):
        ledger.queue(world.jobs())
        ledger.started(first, "a model", "here/0/gone")  # and SIGKILL

    result, _ = world.run()

    assert result.harvested == len(others)
    assert first not in world.artifacts()
    [job] = [job for job in ledger.jobs() if job.job_id == first]
    assert (job.state, job.attempts) == (State.FAILED, 3)
    assert "ended abruptly" in str(job.reason)
    world.retry_all()
    world.run()
    world.check_complete()


def test_a_harvester_that_was_killed_goes_on_at_once_with_the_job_that_it_was_at(
    new_world: Callable[..., World],
) -> None:
    world = new_world(migrated=False)
    first = world.jobs()[0]["id"]
    ledger = world.ledger()
    for _ in range(2):
        ledger.queue(world.jobs())
        ledger.started(first, "a model", "here/0/gone")
    assert world.run(limit=1)[0].harvested == 1
    assert list(world.artifacts()) == [first]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE jobs SET state = 'fbiled'",
        "UPDATE jobs SET stars = 'fi\x02ve'",
        "UPDATE jobs SET attempts = 'x'",
        "UPDATE jobs SET state = 'running', attempts = x'00', holder = 'nobody'",
        "UPDATE jobs SET next_try = x'ff', state = 'failed'",
        "UPDATE jobs SET reason = CAST(x'41ff42' AS TEXT), state = 'failed'",
        "UPDATE files SET total = 'x'",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 7",
        "ALTER TABLE jobs DROP COLUMN first_seen",
        "ALTER TABLE jobs RENAME COLUMN attempts TO attfmpts",
    ],
)
def test_an_odd_byte_in_the_ledger_ends_nothing(ledger: Ledger, damage: str) -> None:
    queue = [{"id": "a", "external_job_id": "x"}, {"id": "b", "external_job_id": "y"}]
    ledger.queue(queue)
    ledger.stored("a", "weights.bin", 10)
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute(damage)
    with Ledger(ledger.path) as again:
        again.jobs()
        again.queue(queue, "me")
        again.not_due()
        assert [job.job_id for job in again.jobs()] == ["a", "b"]
        again.retry(["a"])
        assert fail(again, "a") is not None


def test_a_ledger_of_another_version_is_used_or_kept_aside(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    fail(ledger, "a")
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("PRAGMA user_version = 2")
    with Ledger(ledger.path) as again:
        assert [job.attempts for job in again.jobs()] == [1]
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("ALTER TABLE jobs RENAME COLUMN state TO phase")
    with Ledger(ledger.path) as again:
        assert again.jobs() == []
    assert "written by another version of lora-tui (2)" in caplog.text
    assert "damaged" not in caplog.text
    assert ledger.path.with_name(ledger.path.name + ".version2").exists()
