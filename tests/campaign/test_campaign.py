"""A short campaign; `make campaign` is the long one."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.campaign.campaign import campaign
from tests.campaign.disk import Disk
from tests.campaign.episode import Episode
from tests.campaign.invariants import broken_by
from tests.campaign.plan import plan
from tests.campaign.world import Ended, World


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


def test_the_invariants_detect_each_violation(tmp_path: Path) -> None:
    calm = Episode(1, (("verify",),))
    with World(tmp_path, 1, migrated=True) as world:
        assert list(broken_by(world, calm, world.run_episode(calm))) == []
        wrong = tmp_path / "downloads" / "a-model" / "adapter_model.safetensors"
        wrong.parent.mkdir(parents=True)
        wrong.write_bytes(b"not what anybody promised")
        bad = Ended(("sync",), 1, "", f"Traceback: {world.remote.sandbox.service_key}")
        assert len(list(broken_by(world, calm, [bad]))) == 3


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
