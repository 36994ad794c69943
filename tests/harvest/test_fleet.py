"""Several machines share one queue that the project keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lora_tui.errors import UnreachableError
from lora_tui.harvest import loop
from lora_tui.harvest.events import Event, JobFailed, JobHarvested, ResultLost
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.ledger_schema import JobState, State
from lora_tui.json_values import Row
from lora_tui.sandbox.postgrest import harvest_queue, rest
from tests.harvest.world import World

OLD = {name: run for name, run in harvest_queue.FUNCTIONS.items() if name.endswith("_lease")}
"""The functions of the first version of the migration."""


def machine(world: World, name: str) -> Harvester:
    """A harvester of another machine, with a state of its own."""
    home = world.home
    try:
        world.home = home / name
        return world.harvester()
    finally:
        world.home = home


def shown(harvester: Harvester) -> list[tuple[object, ...]]:
    """What `harvest status` shows on the machine of a harvester."""
    harvester.queue.refresh()
    return [(job.job_id, job.state, job.attempts, job.reason) for job in harvester.ledger.jobs()]


def states(harvester: Harvester) -> dict[str, JobState]:
    return {job.job_id: job for job in harvester.ledger.jobs()}


def leases(world: World) -> set[str]:
    return {row["job_id"] for row in world.rows("harvest_leases?select=job_id")}


def of(kind: type[Event], events: Iterable[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_machines_that_run_at_once_make_each_model_once_and_show_the_same(world: World) -> None:
    first, second = machine(world, "a"), machine(world, "b")
    began = threading.Event()

    def run_second(event: Event) -> None:
        if isinstance(event, JobHarvested) and not began.is_set():
            began.set()
            result, _ = world.run(second, concurrency=2)
            assert result.harvested == 2  # the first machine holds one more

    result, _ = world.run(first, emit=run_second)

    assert (result.harvested, result.failed) == (2, 0)
    world.check_complete()
    assert shown(first) == shown(second)
    holders = [job.holder for job in first.ledger.jobs()]
    assert sorted(holders) == sorted([first.holder] * 2 + [second.holder] * 2)
    assert leases(world) == set()


def test_a_job_that_failed_on_one_machine_waits_on_all_and_is_retried_from_any(
    pair: World,
) -> None:
    first, second = machine(pair, "a"), machine(pair, "b")
    job, other = (job["id"] for job in pair.jobs())
    gone = pair.jobs()[0]["external_job_id"]
    pair.sandbox.faults(vanish=[gone])
    _, events = pair.run(first)
    assert [event.job_id for event in of(JobFailed, events)] == [job]
    assert [event.job_id for event in of(ResultLost, events)] == [job]

    pair.sandbox.forget_requests()
    _, events = pair.run(second)
    assert of(ResultLost, events) == []
    assert pair.requested("GET", "/v2/") == []
    assert (states(second)[job].state, states(second)[other].state) == (State.DEAD, State.DONE)
    assert shown(first) == shown(second)

    pair.sandbox.clear_faults()
    assert second.queue.retry([job]) == 1
    assert pair.run(first)[0].harvested == 1
    pair.check_complete()


def test_a_stop_gives_back_what_was_claimed_and_not_begun(world: World) -> None:
    stop = threading.Event()

    def stop_at_the_first(event: Event) -> None:
        if isinstance(event, JobHarvested):
            assert len(leases(world)) == 2  # the one in work, and one more
            stop.set()

    result, _ = world.run(emit=stop_at_the_first, stop=stop)
    assert result.harvested == 1
    assert leases(world) == set()
    assert world.run(machine(world, "b"))[0].harvested == 3


def test_a_claim_that_fails_beside_running_jobs_does_not_end_the_cycle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(loop, "READ_QUEUE_SECONDS", 0.0)
    harvester = world.harvester()
    take, claim = harvester.queue.take, harvester.rest.claim_lease
    begun: list[str] = []
    refused = threading.Event()

    def take_not_beside(number: int) -> list[Row]:
        if threading.current_thread().name == "harvest watch":
            refused.set()
            raise UnreachableError("no answer")
        return take(number)

    def begin(job_id: str, *arguments: Any) -> Any:
        begun.append(job_id)
        assert len(begun) != 2 or refused.wait(20)  # nothing waits in this harvester now
        return claim(job_id, *arguments)

    harvester.queue.take = take_not_beside  # type: ignore[method-assign]
    harvester.rest.claim_lease = begin  # type: ignore[method-assign]
    result, _ = world.run(harvester)
    assert (result.harvested, result.left) == (4, 0)


def test_a_copy_of_an_earlier_moment_is_replaced_by_the_next_one(pair: World) -> None:
    harvester = machine(pair, "a")
    [job] = [row["id"] for row in pair.jobs()[:1]]
    assert harvester.rest.claim_lease(job, harvester.holder, 600)
    harvester.queue.refresh()
    assert states(harvester)[job].state is State.RUNNING
    assert harvester.rest.release_lease(job, harvester.holder)
    harvester.queue.refresh()
    assert states(harvester)[job].state is State.WAITING


def test_what_a_machine_knew_before_the_migration_is_taken_over_once(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = pair.jobs()[0]
    pair.sandbox.faults(vanish=[lost["external_job_id"]])
    monkeypatch.setattr(rest, "FUNCTIONS", OLD)
    _, events = pair.run(limit=1)
    assert of(ResultLost, events)
    monkeypatch.undo()

    first, second = machine(pair, "."), machine(pair, "b")
    assert (shown(first), states(first)[lost["id"]].state) == (shown(second), State.DEAD)
    second.queue.retry([lost["id"]])
    pair.sandbox.clear_faults()
    first.queue.refresh()
    assert states(first)[lost["id"]].state is State.WAITING  # and not dead once more
    assert pair.run(first)[0].harvested == 1
    pair.check_complete()


def test_a_project_with_an_earlier_migration_is_harvested_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: Callable[[], None]
) -> None:
    monkeypatch.setattr(rest, "FUNCTIONS", OLD)
    harvester = world.harvester()
    assert world.run(harvester, limit=1)[0].harvested == 1
    assert not harvester.queue.shared
    world.sandbox.forget_requests()
    world.run(harvester, limit=1)
    assert world.requested("POST", "/rest/v1/rpc/harvest_status") == []  # it is remembered

    monkeypatch.undo()
    at_once()
    assert world.run(harvester)[0].harvested == 2
    assert harvester.queue.shared
    world.check_complete()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets harvesters look at once whether the project has the queue now."""
    return lambda: monkeypatch.setattr("lora_tui.harvest.queue.RECHECK_SECONDS", 0.0)
