"""A short campaign; `make campaign` is the long one."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.campaign.campaign import campaign
from tests.campaign.plan import plan


def test_a_seed_names_the_same_troubles_every_time() -> None:
    assert list(islice(plan(5, 6), 50)) == list(islice(plan(5, 6), 50))
    assert list(islice(plan(5, 6), 50)) != list(islice(plan(6, 6), 50))


@pytest.mark.parametrize("seed", [1, 2], ids=["with our migration", "as deployed"])
def test_processes_in_trouble_lose_nothing_and_leave_nothing_wrong(
    seed: int, tmp_path: Path
) -> None:
    figures = campaign(tmp_path, seed, episodes=6, jobs=2)
    assert figures.violations == []
    assert figures.processes > figures.episodes  # some of them met
