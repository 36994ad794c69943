"""The headless worker: its rhythm, its patience, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lora_tui.errors import AuthenticationError
from lora_tui.harvest.events import CycleFinished, Event, JobFailed, JobHarvested
from lora_tui.harvest.loop import run_forever
from lora_tui.secret import Secret
from tests.harvest.test_crashes import environment, wait_until
from tests.harvest.world import World


def loop(
    world: World, cycles: int, between: Callable[[], None] = lambda: None, **changes: Any
) -> tuple[list[Event], list[float]]:
    """What so many cycles reported, and how long the loop wanted to wait after each."""
    events: list[Event] = []
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        between()
        return len(waits) == cycles

    run_forever(
        world.harvester(**changes),
        interval=60,
        limit=None,
        emit=events.append,
        stop=threading.Event(),
        wait=wait,
    )
    return events, waits


def test_a_job_that_completes_later_is_harvested_by_a_later_cycle(world: World) -> None:
    job = world.jobs()[0]
    world.change(f"training_jobs?id=eq.{job['id']}", status="running")
    events, _ = loop(
        world,
        2,
        lambda: world.change(f"training_jobs?id=eq.{job['id']}", status="completed"),
    )
    harvested = [event.job_id for event in events if isinstance(event, JobHarvested)]
    assert len(harvested) == 4
    assert harvested[-1] == job["id"]


def test_a_lost_result_is_told_once_and_not_every_cycle(world: World) -> None:
    world.sandbox.faults(vanish=[world.jobs()[0]["external_job_id"]])
    events, _ = loop(world, 3)
    assert len([event for event in events if isinstance(event, JobFailed)]) == 1
    assert len([event for event in events if isinstance(event, CycleFinished)]) == 3


def test_the_loop_outlives_a_backend_that_is_away_and_asks_less_often(world: World) -> None:
    world.sandbox.faults(path="/rest/v1", fail_next=-1)
    events, waits = loop(world, 3)
    assert all(isinstance(event, CycleFinished) and event.error for event in events)
    assert waits[0] < waits[1] < waits[2]


def test_the_loop_waits_about_its_interval(world: World) -> None:
    _, waits = loop(world, 5)
    assert all(54 <= seconds <= 66 for seconds in waits)


def test_a_refused_key_ends_the_loop(world: World) -> None:
    with pytest.raises(AuthenticationError):
        loop(world, 3, gpu_key=Secret("wrong"))


def test_a_stop_that_is_set_already_starts_nothing(world: World) -> None:
    stop = threading.Event()
    stop.set()
    world.sandbox.forget_requests()
    events: list[Event] = []
    run_forever(world.harvester(), interval=60, limit=None, emit=events.append, stop=stop)
    assert events == []
    assert world.requested("GET", "/") == []


def command(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lora_tui", *arguments],
        env=os.environ | environment(world),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_command_harvests_once_and_prints_one_object_a_line(world: World) -> None:
    first = command(world, "--harvest", "--once", "--json")
    assert first.returncode == 0, first.stderr
    events = [json.loads(line)["event"] for line in first.stdout.splitlines()]
    assert events[0] == "cycle_started"
    assert events.count("job_started") == events.count("job_harvested") == 4
    assert events.count("file_stored") == 24
    assert events[-1] == "cycle_finished"
    world.check_complete()

    second = command(world, "--harvest", "--once")
    assert second.returncode == 0
    assert "0 jobs are waiting" in second.stdout


def test_the_command_says_by_its_exit_code_that_a_job_failed(world: World) -> None:
    world.sandbox.faults(vanish=[world.jobs()[0]["external_job_id"]])
    ended = command(world, "--harvest", "--once")
    assert ended.returncode == 7
    assert "30 minutes" in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_with_success(world: World, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--harvest", "--interval", "600"],
        env=os.environ | environment(world),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: bool(world.artifacts()))
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    world.sandbox.faults(clock_offset=61)
    world.run()
    world.check_complete()
