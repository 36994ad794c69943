"""Several jobs at once end as they would have one after another."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lora_tui.errors import AuthenticationError
from lora_tui.harvest.events import Event, FileStored, JobHarvested
from lora_tui.secret import Secret
from tests.harvest.world import World


def test_several_jobs_at_once_become_the_same_models(world: World) -> None:
    result, events = world.run(concurrency=3)
    assert (result.harvested, result.failed, result.left) == (4, 0, 0)
    assert len([event for event in events if isinstance(event, JobHarvested)]) == 4
    world.check_complete()


def test_jobs_really_overlap(world: World) -> None:
    """Each of two jobs waits, at its first file, for the other one to have got as far."""
    meeting = threading.Barrier(2, timeout=60)
    harvester = world.harvester()
    met: set[str] = set()
    claim = harvester.rest.claim_lease

    def claim_together(job_id: str, *arguments: Any) -> Any:
        met.add(job_id)
        meeting.wait()
        return claim(job_id, *arguments)

    harvester.rest.claim_lease = claim_together  # type: ignore[method-assign]
    assert world.run(harvester, concurrency=2)[0].harvested == 4
    assert len(met) == 4


def test_the_limit_holds_with_several_at_once(world: World) -> None:
    assert world.run(concurrency=3, limit=2)[0].harvested == 2
    assert len(world.artifacts()) == 2


def test_a_failure_gives_its_place_under_the_limit_to_the_next(world: World) -> None:
    world.sandbox.faults(vanish=[job["external_job_id"] for job in world.jobs()[:2]])
    result, _ = world.run(concurrency=2, limit=2)
    assert (result.harvested, result.failed) == (2, 2)


def test_a_refused_key_ends_all_of_them(world: World) -> None:
    with pytest.raises(AuthenticationError):
        world.run(world.harvester(gpu_key=Secret("wrong")), concurrency=3)


def test_a_stop_ends_all_of_them_after_the_files_in_hand(world: World) -> None:
    stop = threading.Event()

    def note(event: Event) -> None:
        if isinstance(event, FileStored):
            stop.set()

    result, events = world.run(concurrency=2, emit=note, stop=stop)
    assert result.left == 4 - result.harvested >= 2
    assert len({event.job_id for event in events if isinstance(event, FileStored)}) <= 2
    assert len(world.artifacts()) == result.harvested
    world.run()
    world.check_complete()
