"""A short soak; `scripts/soak-harvest` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.harvest.soak import Soak


def test_kills_under_faults_end_in_complete_models_and_nothing_else(tmp_path: Path) -> None:
    with Soak(tmp_path, jobs=6, faults=0.1, concurrency=2) as soak:
        for stored in (8, 20):
            soak.harvest_until_stored(stored)
        while soak.waiting():
            soak.harvest_until_killed(60)
        soak.world.sandbox.clear_faults()
        soak.world.check_complete()
        figures = soak.figures(0)
    assert figures["kills"] >= 3
    assert (figures["artifacts"], figures["notifications"]) == (6, 6)
    assert figures["objects"] == figures["files_named"] == 36
