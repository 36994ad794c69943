"""One slow file holds nobody up: others that would be lost go first, and are warned of in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from lora_tui import clock
from lora_tui.harvest.events import (
    CycleFinished,
    Event,
    FileStored,
    JobHarvested,
    ResultExpiring,
    TransferSlow,
    describe,
)
from lora_tui.harvest.schedule import should_yield
from tests.harvest.hostile import WEIGHTS, HostileWorker
from tests.harvest.test_crashes import wait_until
from tests.harvest.world import Row, World
from tests.push.adapter import weights

CONTENT = weights(rank=64, width=4_096)


class Trickle:
    """A file that comes in drops until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        sent = 0
        while not self.go_on.wait(0.02) and sent < 40_000:
            handler.wfile.write(CONTENT[sent : sent + 40])
            sent += 40
        self.go_on.wait()
        handler.wfile.write(CONTENT[sent:])


@pytest.fixture
def worker() -> Iterator[HostileWorker]:
    with HostileWorker() as worker:
        yield worker


@pytest.fixture
def world(new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> World:
    """Two jobs wait; what goes on beside a cycle is looked at all the time."""
    for name in (
        "loop.LOOK_SECONDS",
        "loop.WARN_SECONDS",
        "loop.READ_QUEUE_SECONDS",
        "schedule.LEAST_SECONDS",
    ):
        monkeypatch.setattr(f"lora_tui.harvest.{name}", 0.05)
    monkeypatch.setattr("lora_tui.harvest.job_files.PROGRESS_SECONDS", 0.02)
    return new_world(waiting_jobs=2)


@contextmanager
def cycle(
    world: World, worker: HostileWorker, trickle: Trickle, **options: Any
) -> Iterator[list[Event]]:
    """A cycle in a thread of its own, and what it has reported so far."""
    events: list[Event] = []
    harvester = world.harvester(gpu_url=worker.url)
    thread = threading.Thread(
        target=world.run, args=(harvester,), kwargs={"emit": events.append, **options}
    )
    thread.start()
    try:
        yield events
    finally:
        trickle.go_on.set()
        thread.join()


def of(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def completed(world: World, job: Row, *, left: float) -> None:
    """As if the worker kept the result for so many seconds more."""
    at = clock.now() - timedelta(minutes=30) + timedelta(seconds=left)
    world.change(f"training_jobs?id=eq.{job['id']}", completed_at=clock.timestamp_text(at))


def test_jobs_that_would_be_lost_go_first_and_the_slow_one_keeps_what_it_has(
    world: World, worker: HostileWorker
) -> None:
    slow, urgent = world.jobs()
    completed(world, slow, left=300)
    completed(world, urgent, left=400)
    trickle = worker.files_of(slow["external_job_id"])[WEIGHTS] = Trickle()
    with cycle(world, worker, trickle) as events:
        wait_until(lambda: bool(of(events, JobHarvested)))
        assert [event.job_id for event in of(events, JobHarvested)] == [urgent["id"]]
    assert {event.job_id for event in of(events, JobHarvested)} == {slow["id"], urgent["id"]}
    assert trickle.asked == 1
    (told,) = of(events, TransferSlow)
    assert (told.job_id, told.file, told.waiting) == (slow["id"], WEIGHTS, 1)
    assert "is slow" in describe(told)
    (end,) = of(events, CycleFinished)
    assert (end.harvested, end.failed, end.left) == (2, 0, 0)


def test_a_result_that_expires_soon_is_warned_of_during_a_cycle(
    world: World, worker: HostileWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = world.jobs()
    completed(world, slow, left=20 * 60)
    completed(world, other, left=25 * 60)
    trickle = worker.files_of(slow["external_job_id"])[WEIGHTS] = Trickle()
    with cycle(world, worker, trickle, limit=1) as events:
        wait_until(lambda: trickle.asked == 1)
        assert of(events, ResultExpiring) == []
        later = clock.now() + timedelta(minutes=12)
        monkeypatch.setattr("lora_tui.clock.now", lambda: later)
        wait_until(lambda: bool(of(events, ResultExpiring)))
        assert not trickle.go_on.is_set()
    assert [event.job_id for event in of(events, ResultExpiring)] == [slow["id"]]


def test_a_job_that_completes_during_a_cycle_is_taken_in_it(
    world: World, worker: HostileWorker
) -> None:
    slow, late = world.jobs()
    completed(world, slow, left=300)
    world.change(f"training_jobs?id=eq.{late['id']}", status="running")
    trickle = worker.files_of(slow["external_job_id"])[WEIGHTS] = Trickle()
    with cycle(world, worker, trickle) as events:
        wait_until(lambda: trickle.asked == 1)
        world.change(f"training_jobs?id=eq.{late['id']}", status="completed")
        completed(world, late, left=400)
        wait_until(lambda: bool(of(events, JobHarvested)))
        assert [event.job_id for event in of(events, JobHarvested)] == [late["id"]]
    assert len(world.artifacts()) == 2
    (end,) = of(events, CycleFinished)
    assert (end.harvested, end.left) == (2, 0)


def test_a_stop_does_not_wait_for_a_file_that_would_take_hours(
    world: World, worker: HostileWorker
) -> None:
    slow, _ = world.jobs()
    completed(world, slow, left=300)
    trickle = worker.files_of(slow["external_job_id"])[WEIGHTS] = Trickle()
    stop = threading.Event()
    with cycle(world, worker, trickle, stop=stop) as events:
        wait_until(lambda: bool(of(events, FileStored)) and trickle.asked == 1)
        stop.set()
        wait_until(lambda: bool(of(events, CycleFinished)))
        assert not trickle.go_on.is_set()
    assert slow["id"] not in world.artifacts()


class Stall(Trickle):
    """A file of which half comes, and then nothing more."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop
        """Set when it stalls: later a busy machine might already make the next attempt."""

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:40_000])
        self._stop.set()
        self.go_on.wait()


def test_a_stop_does_not_wait_for_the_attempts_of_a_file_that_has_stalled(
    world: World, worker: HostileWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.schedule.STALLED_SECONDS", 0.1)
    monkeypatch.setattr("lora_tui.harvest.spool.CHECK_SECONDS", 0.05)
    monkeypatch.setattr("lora_tui.harvest.source_connection.TIMEOUT_SECONDS", 2.0)
    stalled, _ = world.jobs()
    completed(world, stalled, left=300)
    stop = threading.Event()
    stall = worker.files_of(stalled["external_job_id"])[WEIGHTS] = Stall(stop)
    with cycle(world, worker, stall, stop=stop) as events:
        wait_until(lambda: bool(of(events, CycleFinished)))
        assert not stall.go_on.is_set()
        assert of(events, FileStored)
        assert stall.asked == 1, "no further attempt"
    assert stalled["id"] not in world.artifacts()


@pytest.mark.parametrize(
    ("left", "waiting", "expected"),
    [
        (10, [30.0], False),
        (60, [30.0], True),
        (60, [1_500.0], False),
        (1_300, [1_500.0], True),
        (500, [None, -5.0], False),
        (700, [None], True),
        (700, [-5.0], True),
        (float("inf"), [], False),
    ],
)
def test_only_what_takes_longer_than_others_can_wait_gives_way(
    left: float, waiting: list[float | None], expected: bool
) -> None:
    assert should_yield(left, waiting) is expected
