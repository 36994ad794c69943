"""Runs a plan and counts; the figures of docs/reliability.md come from here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_tui.sandbox.backend import StorageKind
from tests.campaign.episode import Episode
from tests.campaign.invariants import broken_by, broken_in_the_end
from tests.campaign.plan import plan
from tests.campaign.world import World


@dataclass
class Figures:
    """The counts of a campaign."""

    seed: int
    episodes: int = 0
    processes: int = 0
    kills: int = 0
    applications: int = 0
    """Of the processes, those that were the application on a terminal."""
    application_kills: int = 0
    engine_kills: int = 0
    requests: int = 0
    seconds: float = 0.0
    ends: Counter[int] = field(default_factory=Counter)
    """Processes by exit code."""
    trouble: Counter[str] = field(default_factory=Counter)
    """Episodes by the kinds of trouble in them."""
    violations: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return vars(self) | {
            "ends": {str(code): count for code, count in sorted(self.ends.items())},
            "trouble": dict(self.trouble.most_common()),
            "seconds": round(self.seconds, 1),
        }


def campaign(
    home: Path,
    seed: int,
    *,
    episodes: int,
    seconds: float = float("inf"),
    jobs: int = 6,
    tell: Callable[[Episode, Figures], None] | None = None,
) -> Figures:
    """Run episodes in one world, by number or by time; then check it without faults.

    Odd seeds have a backend with our migration (leases, and a bucket that owners can read), even
    ones have it as it is deployed. Every second pair of seeds has Storage on files, not on s3.
    """
    figures = Figures(seed)
    start = time.monotonic()
    storage: StorageKind = "file" if seed // 2 % 2 else "s3"
    with World(home, jobs, migrated=seed % 2 == 1, storage=storage) as world:
        for episode in plan(seed, jobs):
            if figures.episodes == episodes or time.monotonic() - start > seconds:
                break
            ended = world.run_episode(episode)
            figures.episodes += 1
            figures.processes += len(ended)
            figures.kills += sum(process.code == -9 for process in ended)
            applications = [process for process in ended if process.is_application]
            figures.applications += len(applications)
            figures.application_kills += sum(process.code == -9 for process in applications)
            figures.engine_kills += sum(process.engine_kills for process in applications)
            figures.requests += len(world.remote.sandbox.requests())
            figures.ends.update(process.code for process in ended)
            figures.trouble.update(episode.marks)
            for sentence in broken_by(world, episode, ended):
                figures.violations.append(f"seed {seed}, episode {episode.number}: {sentence}")
            if tell is not None:
                tell(episode, figures)
        for sentence in broken_in_the_end(world):
            figures.violations.append(f"seed {seed}, in the end: {sentence}")
    figures.seconds = time.monotonic() - start
    return figures
