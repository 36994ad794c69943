"""`make campaign`: many seeds, for a given time.

    python -m tests.campaign [--seconds 600] [--seed 1] [--episodes 40] [--json FILE]

A seed is a world with its plan; every fourth one has runs that are followed (live.py), instead of
commands. A violation names its seed and episode: `--seed N --seconds 0`
runs that world again. Ends with 1 where anything was violated.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.campaign.campaign import Figures, campaign
from tests.campaign.episode import Episode
from tests.campaign.live import live_campaign

_LIVE_EVERY: Final = 4
_LIVE: Final = 120.0
"""Seconds of a world whose runs are followed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="begin no world after that")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--episodes", type=int, default=40, help="in each world")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each socket that is cut
    start = time.monotonic()
    worlds: list[Figures] = []
    seed = arguments.seed
    while not worlds or time.monotonic() - start < arguments.seconds:
        with tempfile.TemporaryDirectory(prefix="lora-tui-campaign-") as home:
            if seed % _LIVE_EVERY == 0:
                worlds.append(
                    live_campaign(Path(home), seed, episodes=arguments.episodes, seconds=_LIVE)
                )
            else:
                worlds.append(campaign(Path(home), seed, episodes=arguments.episodes, tell=_tell))
        print(f"\rseed {seed}: {_line(worlds[-1])}", flush=True)
        for violation in worlds[-1].violations:
            print(f"  {violation}", flush=True)
        seed += 1
    whole = _sum(worlds)
    print(f"\n{len(worlds)} worlds: {_line(whole)}")
    print("  ends by exit code: " + ", ".join(f"{k}: {n}" for k, n in sorted(whole.ends.items())))
    print(
        "  trouble, in episodes: " + ", ".join(f"{k} {n}" for k, n in whole.trouble.most_common())
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(whole.as_json() | {"worlds": len(worlds)}, indent=1))
    return 1 if whole.violations else 0


def _tell(episode: Episode, figures: Figures) -> None:
    if sys.stderr.isatty():
        print(f"\r{episode.number:4} {_line(figures)}", end="", file=sys.stderr, flush=True)


def _line(figures: Figures) -> str:
    return (
        f"{figures.episodes} episodes, {figures.processes} processes, {figures.kills} killed, "
        f"{figures.applications} applications ({figures.application_kills} killed), "
        f"{figures.engine_kills} engines killed, "
        f"{figures.requests} requests, {len(figures.violations)} violations, "
        f"{figures.seconds:.0f} s"
    )


def _sum(worlds: list[Figures]) -> Figures:
    return Figures(
        seed=worlds[0].seed,
        episodes=sum(world.episodes for world in worlds),
        processes=sum(world.processes for world in worlds),
        kills=sum(world.kills for world in worlds),
        applications=sum(world.applications for world in worlds),
        application_kills=sum(world.application_kills for world in worlds),
        engine_kills=sum(world.engine_kills for world in worlds),
        requests=sum(world.requests for world in worlds),
        seconds=sum(world.seconds for world in worlds),
        ends=sum((world.ends for world in worlds), Counter()),
        trouble=sum((world.trouble for world in worlds), Counter()),
        violations=[text for world in worlds for text in world.violations],
    )


if __name__ == "__main__":
    sys.exit(main())
