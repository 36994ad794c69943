"""A key that is refused for a moment ends nothing; one that stays refused ends the service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lora_tui import cli
from lora_tui.errors import AuthenticationError
from lora_tui.harvest.events import CycleFinished, Event, JobHarvested
from lora_tui.harvest.loop import run_forever
from tests.harvest.hostile import HostileWorker, send
from tests.harvest.test_crashes import environment
from tests.harvest.world import World, failures

ONE_QUESTION = 4
"""Refusals that one question of a cycle uses up, at least: it is repeated."""


@pytest.fixture
def worker() -> Iterator[HostileWorker]:
    with HostileWorker() as worker:
        yield worker


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world(waiting_jobs=2)


def serve(
    world: World, url: str, cycles: int, between: Callable[[int], None]
) -> tuple[list[Event], list[float], AuthenticationError | None]:
    """What the service reports in so many cycles, its waits, and why it ended if it did."""
    events: list[Event] = []
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        between(len(waits))
        return len(waits) == cycles

    try:
        run_forever(
            world.harvester(gpu_url=url),
            interval=60,
            limit=None,
            emit=events.append,
            stop=threading.Event(),
            wait=wait,
        )
    except AuthenticationError as error:
        return events, waits, error
    return events, waits, None


def harvested(events: list[Event]) -> int:
    return sum(isinstance(event, JobHarvested) for event in events)


def test_one_refusal_of_the_worker_goes_unnoticed(world: World, worker: HostileWorker) -> None:
    worker.refusals = 1
    result, events = world.run(world.harvester(gpu_url=worker.url))
    assert (result.harvested, failures(events)) == (2, {})


def test_a_refused_cycle_among_others_does_not_end_the_service(
    world: World, worker: HostileWorker
) -> None:
    jobs = world.jobs()
    world.change(f"training_jobs?id=eq.{jobs[1]['id']}", status="running")

    def between(cycle: int) -> None:
        worker.refusals = -1 if cycle in (1, 2) else 0
        if cycle == 1:
            world.change(f"training_jobs?id=eq.{jobs[1]['id']}", status="completed")

    events, waits, ended = serve(world, worker.url, 4, between)
    assert ended is None
    assert len(waits) == 4
    assert harvested(events) == 2
    told = [event.error for event in events if isinstance(event, CycleFinished)]
    assert [bool(error) for error in told] == [False, True, True, False]


def test_a_project_that_refuses_for_a_cycle_does_not_end_the_service(
    world: World, worker: HostileWorker
) -> None:
    def between(cycle: int) -> None:
        if cycle == 1:
            world.sandbox.faults(path="/rest/v1", fail_next=3, status=401)

    events, _, ended = serve(world, worker.url, 3, between)
    assert ended is None
    assert harvested(events) == 2


def test_the_first_cycle_is_tried_several_times_before_it_ends_the_service(
    world: World, worker: HostileWorker
) -> None:
    worker.refusals = 2 * ONE_QUESTION
    events, _, ended = serve(world, worker.url, 1, lambda _cycle: None)
    assert ended is None
    assert harvested(events) == 2


def test_a_key_that_the_first_cycle_is_refused_ends_the_service_and_says_so(
    world: World, worker: HostileWorker
) -> None:
    worker.refusals = -1
    _, waits, ended = serve(world, worker.url, 3, lambda _cycle: None)
    assert waits == []
    assert "by the first cycle" in str(ended and ended.details)
    assert "GPU_CLUSTER_API_KEY" in str(ended and ended.remedy)


def test_a_key_that_is_refused_for_minutes_ends_the_service_and_says_so(
    world: World, worker: HostileWorker
) -> None:
    world.sandbox.faults()

    def between(cycle: int) -> None:
        del cycle
        world.sandbox.faults(path="/rest/v1", fail_next=-1, status=401)

    _, waits, ended = serve(world, worker.url, 50, between)
    assert ended is not None
    assert sum(waits[1:]) > 500
    assert "cycles in a row, over" in str(ended.details)


def test_a_refusal_for_one_job_does_not_keep_the_others_from_their_turn(
    world: World, worker: HostileWorker
) -> None:
    first, _ = world.jobs()
    worker.statuses[first["external_job_id"]] = lambda handler: send(handler, b"", status=401)
    result, events = world.run(world.harvester(gpu_url=worker.url))
    assert (result.harvested, result.failed, result.left) == (1, 1, 0)
    failure = failures(events)[first["id"]]
    assert not failure.permanent
    assert "does not accept the key" in failure.reason


@pytest.mark.parametrize(("refusals", "code"), [(1, 0), (ONE_QUESTION, 0), (-1, 4)])
def test_once_tries_a_refused_key_again_within_bounds(
    world: World,
    worker: HostileWorker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusals: int,
    code: int,
) -> None:
    settings: dict[str, Any] = environment(world) | {"GPU_CLUSTER_API_URL": worker.url}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    worker.refusals = refusals
    assert cli.main(["--harvest", "--once"]) == code
    assert len(worker.asked) < 80  # both endpoints are asked
    assert len(world.artifacts()) == (2 if code == 0 else 0)
    if code:
        assert "does not accept the key" in capsys.readouterr().err
