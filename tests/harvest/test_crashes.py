"""Wherever a harvester dies, the next run ends in the same state as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.events import FileStored, JobHarvested
from lora_tui.harvest.schedule import repeating
from tests.harvest.mortal import CrashError, mortal
from tests.harvest.world import World

_FILES = (
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "adapter_model.safetensors",
    "training_args.bin",
)
REMOTE_WRITES = ("claim", *_FILES, "artifact", "notification", "link")
"""All remote writes that one job takes; the files are written at once, so in any order."""
KILLED_BY_THE_SYSTEM = ("adapter_model.safetensors", "artifact")
"""The writes after which a real process is killed: what is on its disk then is the promise. After
the others an exception that nothing handles ends the harvest, which costs no process."""


# A harvester that is killed after so many remote writes.
_KILLED = """
import os, signal, sys, threading
from lora_tui.harvest.harvester import connect
from lora_tui.harvest.loop import run_cycle
from lora_tui.config.load import load_profile
from tests.harvest.mortal import mortal
run_cycle(
    mortal(
        connect(load_profile()),
        int(sys.argv[1]),
        die=lambda: os.kill(os.getpid(), signal.SIGKILL),
    ),
    limit=None,
    dry_run=False,
    emit=lambda event: None,
    stop=threading.Event(),
)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after a harvest in which nothing went wrong."""
    with World(tmp_path_factory.mktemp("undisturbed"), waiting_jobs=2) as world:
        world.run()
        return world.state()


@pytest.mark.parametrize("written", range(1, len(REMOTE_WRITES) + 1), ids=REMOTE_WRITES)
@pytest.mark.parametrize("migrated", [False, True], ids=["without leases", "with leases"])
def test_a_crash_after_any_remote_write_is_finished_by_the_next_run(
    new_world: Callable[..., World],
    undisturbed: dict[str, Any],
    written: int,
    migrated: bool,
) -> None:
    # The older of the two jobs has the file that goes in resumable pieces.
    world = new_world(waiting_jobs=2, migrated=migrated)
    if not migrated and REMOTE_WRITES[written - 1] in KILLED_BY_THE_SYSTEM:
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED, str(written)],
            cwd=Path(__file__).parents[2],
            env=os.environ | environment(world),
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
    else:
        with pytest.raises(CrashError):
            world.run(mortal(world.harvester(), written))
    stored = {path.rpartition("/")[2] for path in world.objects()}
    first = world.jobs()[0]
    if migrated:
        # The dead harvester's lease holds until it runs out.
        assert world.run()[0].elsewhere == (0 if first["artifact_id"] else 1)
        world.sandbox.faults(clock_offset=61)

    result, events = world.run()

    assert (result.failed, result.elsewhere, result.left) == (0, 0, 0)
    assert world.state() == undisturbed
    world.check_complete()
    # What was stored is not sent twice, unless no ETag tells what it is: that of a file in pieces
    # is no MD5 of it.
    again = [e for e in events if isinstance(e, FileStored) and e.job_id == first["id"]]
    kept = {event.file for event in again if not event.sent}
    assert not again or stored - {"adapter_model.safetensors"} <= kept


def test_a_living_harvesters_job_is_left_to_it(world: World) -> None:
    job = world.jobs()[0]
    assert world.harvester().rest.claim_lease(job["id"], "somebody else", 600)
    result, _ = world.run()
    assert (result.harvested, result.elsewhere, result.failed) == (3, 1, 0)
    assert job["id"] not in world.artifacts()


def test_a_harvester_that_lost_its_lease_writes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it is renewed as soon as it was taken, and not before: a busy machine is slow as well
    taken = threading.Event()
    monkeypatch.setattr(
        "lora_tui.harvest.lease.repeating",
        lambda renew, _seconds, *, name: repeating(
            lambda: not taken.is_set() or renew(), 0.05, name=name
        ),
    )
    other = world.harvester().rest
    job = world.jobs()[0]

    def take_over(event: object) -> None:
        if isinstance(event, FileStored) and event.job_id == job["id"]:
            world.sandbox.faults(clock_offset=61)
            if other.claim_lease(job["id"], "somebody else", 600):
                taken.set()
                renewal.wait_for_refusal()

    harvester = world.harvester()
    renewal = _Renewals(harvester.rest)
    result, _ = world.run(replace(harvester, rest=cast(Rest, renewal)), emit=take_over, limit=1)
    assert taken.is_set()
    assert result.elsewhere >= 1
    assert job["id"] not in world.artifacts()


def test_a_harvester_that_slept_through_its_lease_removes_nothing_of_anothers_model(
    world: World,
) -> None:
    """A laptop: its own clock stood still, so its lease looks as good as before."""
    job = world.jobs()[0]
    slept = threading.Event()

    def sleep(event: object) -> None:
        if isinstance(event, FileStored) and event.job_id == job["id"] and not slept.is_set():
            slept.set()
            world.sandbox.faults(clock_offset=61)
            assert world.run()[0].harvested == 4
            gone = f"/worker-files/{job['external_job_id']}/"
            world.sandbox.faults(path=gone, fail_next=-1, status=404)

    world.run(emit=sleep)
    assert slept.is_set()
    world.sandbox.clear_faults()
    world.check_complete()


def test_a_harvester_without_leases_begins_where_no_other_is(
    new_world: Callable[..., World],
) -> None:
    world = new_world(migrated=False)
    here, there = world.home, world.home / "another machine"
    jobs = [job["id"] for job in world.jobs()]
    others: list[str] = []

    def run_the_other(event: object) -> None:
        if isinstance(event, FileStored) and not others:
            world.home = there
            _, events = world.run()
            others.extend(e.job_id for e in events if isinstance(e, JobHarvested))
            world.home = here

    result, _ = world.run(emit=run_the_other)
    assert others == [*jobs[1:], jobs[0]]
    assert result.failed == 0
    world.check_complete()


def test_a_harvester_that_comes_second_with_a_file_leaves_the_job_for_last(
    new_world: Callable[..., World],
) -> None:
    world = new_world(migrated=False)
    here, there = world.home, world.home / "another machine"
    jobs = [job["id"] for job in world.jobs()]
    harvester = world.harvester()
    other = _SecondAtTheFirstFile(harvester.storage, threading.Event())

    def run_the_other() -> None:
        world.home = there
        world.run(limit=1)
        world.home = here

    other.meanwhile = run_the_other
    one_file = ByteBudget(most_files=1)
    _, events = world.run(replace(harvester, storage=cast(Storage, other), budget=one_file))
    harvested = [event.job_id for event in events if isinstance(event, JobHarvested)]
    assert harvested == jobs[1:]
    world.check_complete()


class _SecondAtTheFirstFile:
    """The bucket, in which another harvester has been between our look and our first upload."""

    def __init__(self, storage: Storage, done: threading.Event) -> None:
        self._storage = storage
        self._done = done
        self.meanwhile: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def upload(self, *arguments: Any, **options: Any) -> None:
        if not self._done.is_set():
            self._done.set()
            self.meanwhile()
        self._storage.upload(*arguments, **options)


class _Renewals:
    """The tables, with a way to wait until a renewal was refused."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._refused = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)

    def call(self, function: str, parameters: dict[str, Any], what: str) -> Any:
        answer = self._rest.call(function, parameters, what)
        if function == "renew_harvest_leases" and set(parameters["p_job_ids"]) - set(answer):
            self._refused.set()
        return answer

    def wait_for_refusal(self) -> None:
        assert self._refused.wait(30)


def test_a_model_is_finished_even_where_its_result_is_lost_by_then(world: World) -> None:
    job = world.jobs()[0]
    with pytest.raises(CrashError):
        world.run(mortal(world.harvester(), REMOTE_WRITES.index("artifact") + 1))
    world.sandbox.faults(vanish=[job["external_job_id"]], clock_offset=61)
    result, _ = world.run()
    assert (result.harvested, result.failed) == (4, 0)
    world.sandbox.faults(vanish=None)
    world.check_complete()


def test_a_crash_is_finished_on_another_machine_too(
    new_world: Callable[..., World], undisturbed: dict[str, Any]
) -> None:
    world = new_world(waiting_jobs=2, migrated=False)
    with pytest.raises(CrashError):
        world.run(mortal(world.harvester(), 4))
    world.home = world.home / "another machine"
    world.run()
    assert world.state() == undisturbed


@pytest.mark.parametrize("migrated", [False, True], ids=["without leases", "with leases"])
def test_two_harvesters_at_once_make_one_artifact_of_each_job(
    new_world: Callable[..., World], migrated: bool
) -> None:
    world = new_world(migrated=migrated)
    start = threading.Barrier(2)
    results = []

    def harvest() -> None:
        start.wait()
        harvester = world.harvester()
        results.append(world.run(harvester)[0])

    threads = [threading.Thread(target=harvest) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [result.failed for result in results] == [0, 0]
    assert sum(result.harvested for result in results) == 4
    world.check_complete()


def test_a_killed_process_leaves_no_spool_and_the_next_one_finishes(world: World) -> None:
    world.sandbox.faults(path="/storage/v1", throttle=200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--harvest", "--once", "--json"],
        env=os.environ | environment(world),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: any(e["received"] > 100_000 for e in world.requested("POST", "/storage"))
        )
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    world.sandbox.clear_faults()
    assert world.artifacts() == {}
    left = (world.home / "cache" / "harvest").iterdir()
    assert [file for file in left if file.suffix != ".json"] == []  # those are receipts

    world.sandbox.faults(clock_offset=61)
    result, _ = world.run()
    assert (result.harvested, result.failed) == (4, 0)
    world.check_complete()


def environment(world: World) -> dict[str, str]:
    """For a process that harvests this world."""
    return {"LORA_TUI_HOME": str(world.home), **world.sandbox.environment()}


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask again and again, for at most a minute."""
    pause = threading.Event()
    for _ in range(1200):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it never happened")
