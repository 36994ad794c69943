"""A short campaign; `make campaign` is the long one."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from lora_tui.cache.cache_file import leader_lock, sync_lock
from lora_tui.engine.crash_reports import write_report
from lora_tui.engine.logs import engine_log
from tests.campaign.application_invariants import held_locks, traces
from tests.campaign.campaign import campaign
from tests.campaign.disk import Disk
from tests.campaign.episode import Act, Episode, Sitting
from tests.campaign.invariants import broken_by
from tests.campaign.live import live_campaign
from tests.campaign.plan import plan
from tests.campaign.processes import Ended
from tests.campaign.world import World


def test_a_seed_gives_the_same_faults_every_time() -> None:
    assert list(islice(plan(5, 6), 50)) == list(islice(plan(5, 6), 50))
    assert list(islice(plan(5, 6), 50)) != list(islice(plan(6, 6), 50))


# seeds with a service, a full disk, a jump of the clock, kills, readers and lies in three episodes
@pytest.mark.parametrize("seed", [27711, 25260], ids=["with our migration", "as deployed"])
def test_processes_in_trouble_lose_nothing_and_leave_nothing_wrong(
    seed: int, tmp_path: Path
) -> None:
    figures = campaign(tmp_path, seed, episodes=3, jobs=1)
    assert figures.violations == []
    assert figures.processes > figures.episodes  # some of them met


@pytest.mark.slow
def test_followed_runs_lose_no_point_to_kills_and_faults(tmp_path: Path) -> None:
    figures = live_campaign(tmp_path, 4, episodes=3, seconds=60)
    assert figures.violations == []
    assert figures.kills


def test_the_invariants_detect_each_violation(tmp_path: Path) -> None:
    calm = Episode(1, (("verify",),))
    with World(tmp_path, 1, migrated=True) as world:
        assert list(broken_by(world, calm, world.run_episode(calm))) == []
        wrong = tmp_path / "downloads" / "a-model" / "adapter_model.safetensors"
        wrong.parent.mkdir(parents=True)
        wrong.write_bytes(b"not what anybody promised")
        bad = Ended(("sync",), 1, "", f"Traceback: {world.remote.sandbox.service_key}")
        assert len(list(broken_by(world, calm, [bad]))) == 3


@pytest.mark.slow
def test_a_sitting_at_the_application_survives_the_death_of_its_engine(tmp_path: Path) -> None:
    sitting = Sitting((Act(0.0, kills_engine=True), Act(0.0, "d")), "kill -9")
    episode = Episode(1, (), application=sitting)
    with World(tmp_path, 1, migrated=True) as world:
        ended = world.run_episode(episode)
        assert [process.code for process in ended] == [-9]
        assert ended[0].engine_kills == 1
        assert list(broken_by(world, episode, ended)) == []


@pytest.mark.slow
def test_what_an_application_leaves_behind_is_detected(tmp_path: Path) -> None:
    with World(tmp_path, 1, migrated=True) as world:
        world.run("sync")
        log = engine_log(tmp_path / "state")
        log.parent.mkdir(exist_ok=True)
        log.write_text("Traceback (most recent call last):")
        write_report(tmp_path / "state", "lora-tui crashed: ValueError")
        [cache] = world.caches()
        with leader_lock(cache), sync_lock(cache):
            found = [*traces(world), *held_locks(world)]
        assert len(found) == 4
        assert [*traces(world), *held_locks(world)] == []
        orphaned = Ended(("application", "quit"), 0, "", "", wrong=("an engine is left",))
        crashed = Ended(("application", "quit"), 1, "Something unexpected happened: X", "reason")
        calm = Episode(1, ())
        assert len(list(broken_by(world, calm, [orphaned, crashed]))) == 2


def test_a_full_disk_is_full_for_the_process_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Disk(home) as disk:
        with disk.with_free(0):
            if disk.real:
                with pytest.raises(OSError, match="No space left"):
                    (home / "file").write_bytes(bytes(100_000))
            else:
                assert disk.file_limit(0) > 0
        (home / "file").write_bytes(bytes(100_000))
    assert not any(home.iterdir()) or not disk.real
