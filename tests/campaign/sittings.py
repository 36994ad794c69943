"""Sittings of a user at the application: what is typed and killed, drawn from the seed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from tests.campaign.episode import Act, Ending, Episode, Sitting

ESCAPE: Final = "\x1b[27u"
"""The escape key in the terminal protocol of kitty: a bare escape and the next key would be one key
with alt to an application that is slow to read them."""
SHARE: Final = 0.3
"""Of the episodes."""
_ENDINGS: Final[tuple[Ending, ...]] = (
    *("quit", "quit", "kill -9", "kill -9", "hang up", "SIGTERM", "ctrl+c"),
)
_KEYS: Final = (
    "d",  # downloads of the list
    "jd",
    " j j d",
    f"\r{ESCAPE}",  # a model
    f"\rd{ESCAPE}",
    f"\rdx{ESCAPE}",
    f"\rDa\r{ESCAPE}",
    f"\rio{ESCAPE}",
    f"tp{ESCAPE}",  # Transfers
    f"tpp{ESCAPE}",
    f"tx{ESCAPE}",
    f"tJjK{ESCAPE}",
    f"tPA{ESCAPE}",
    f"tjRxR{ESCAPE}",
    f"tXjX{ESCAPE}",
    f"nj\r{ESCAPE}{ESCAPE}",  # a notification is read
    f"n\r{ESCAPE}{ESCAPE}",
    "r",
    "rr",
    f"hb{ESCAPE}",  # the harvest in the background
    f"hbX{ESCAPE}",
    f"hjx{ESCAPE}",
    "T",  # writes the configuration
    "vSp",  # writes the state of the view
    f"/ren\r{ESCAPE}",
    f",{ESCAPE}",
    f"?{ESCAPE}",
    "\x03",  # which does not quit
)
_KILLS_AFTER: Final = (0.0, 0.02, 0.1, 0.3, 1.0)
"""Seconds from the moment when there is an engine."""
_CLOCKS: Final = frozenset({"wrong clock", "clock jumps midway"})


def with_application(episode: Episode, chance: random.Random) -> Episode:
    """The episode with the application beside at most one of its commands.

    The clock is left alone: the engine, which reads it, would need a clock of its own.
    """
    marks = {"application"}
    acts = tuple(_act(chance) for _ in range(chance.randint(1, 6)))
    kills = sum(act.kills_engine for act in acts)
    ending = chance.choice(_ENDINGS)
    if kills:
        marks.add("engine killed")
    if ending != "quit":
        marks.add(f"application: {ending}")
    # a SIGINT before our first line would be answered by Python, with a traceback
    at_once = chance.random() < 0.15 and ending != "ctrl+c"
    sitting = Sitting(acts, ending, at_once=at_once)
    faults = episode.faults
    if chance.random() < 0.6:  # so that downloads are under way when something dies
        rate = chance.choice((30_000, 150_000, 1_000_000))
        faults = (*faults, {"path": "/storage/v1/object/sign", "throttle": rate})
    # the sitting has its own kills; those after some requests hit any other moment
    kill_after = episode.kill_after if chance.random() < 0.4 else None
    unused = _CLOCKS if kill_after is not None else _CLOCKS | {"kill -9"}
    return replace(
        episode,
        application=sitting,
        commands=episode.commands[-1:] if chance.random() < 0.6 else (),
        faults=faults,
        kill_after=kill_after,
        clock_skew=0.0,
        clock_jump=None,
        marks=(episode.marks - unused) | marks,
    )


def _act(chance: random.Random) -> Act:
    if chance.random() < 0.3:
        return Act(chance.choice(_KILLS_AFTER), kills_engine=True)
    return Act(chance.choice((0.0, 0.05, 0.3, 0.8)), chance.choice(_KEYS))
