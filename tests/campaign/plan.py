"""The plan of a campaign, episode by episode; the same seed gives the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.campaign.episode import Episode, Fault
from tests.campaign.lies import with_lies
from tests.campaign.sittings import SHARE, with_application

_EVERYWHERE: Final = ("/rest/v1", "/storage/v1", "/auth/v1", "/worker-files", "/v2")
_FILES: Final = ("/storage/v1/object/sign", "/worker-files")
_HOUR: Final = 3600
_SHIFTS: Final = tuple(hours * _HOUR for hours in (-48, -2, 2, 48))
READERS: Final = ("verify", "library", "list")
"""Commands that read the disk or the cache while others write."""


def plan(seed: int, models: int) -> Iterator[Episode]:
    """Endless episodes, for a world with this many jobs to harvest."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        episode = _episode(number, chance, models)
        # a generator of its own, so that the rest of the plan does not change
        disk = random.Random(f"{seed} {number}")
        if disk.random() < 0.12:
            marks = episode.marks | {"damaged cache"}
            episode = replace(episode, damage=disk.randrange(10_000), marks=marks)
        episode = with_lies(episode, random.Random(f"lies {seed} {number}"), models)
        sitting = random.Random(f"application {seed} {number}")
        yield with_application(episode, sitting) if sitting.random() < SHARE else episode


def _episode(number: int, chance: random.Random, models: int) -> Episode:
    marks = set()
    commands = [_command(chance, models) for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.3:
        marks.add("two of one kind")
        commands.append(commands[0])
    faults = [_fault(chance, marks) for _ in range(chance.choice((0, 1, 1, 2)))]
    kill_after = None
    if chance.random() < 0.5:
        marks.add("kill -9")
        kill_after = chance.randint(1, 25)
    skew, jump = 0.0, None
    match chance.choice(("wrong", "jump", *("right",) * 6)):
        case "wrong":
            marks.add("wrong clock")
            skew = chance.choice(_SHIFTS)
        case "jump":
            marks.add("clock jumps midway")
            jump = (chance.randint(1, 15), chance.choice(_SHIFTS))
    free = None
    if chance.random() < 0.12:
        marks.add("disk full")
        free = chance.choice((0, 4_096, 60_000, 300_000, 1_000_000))
    if any("--interval" in command for command in commands):
        marks.add("a service")
    if any(command[0] in READERS for command in commands):
        marks.add("readers")
    kinds = ("rename model", "rename dataset", "new dataset", "delete dataset", "read notice")
    edits = [chance.choice(kinds) for _ in range(chance.randint(0, 2))]
    return Episode(
        number,
        tuple(commands),
        tuple(faults),
        tuple(edits),
        kill_after,
        skew,
        jump,
        free,
        marks=frozenset(marks),
    )


def _command(chance: random.Random, models: int) -> tuple[str, ...]:
    kind = chance.choice(
        ("sync", "sync", "harvest", "harvest", "service", "download", "download", "reader")
    )
    if kind == "sync":
        return ("sync", "--full") if chance.random() < 0.25 else ("sync",)
    if kind == "harvest":
        limit, streams = chance.randint(1, 3), chance.randint(1, 2)
        return ("--harvest", "--once", "--limit", str(limit), "--concurrency", str(streams))
    if kind == "service":
        return ("--harvest", "--interval", "1", "--concurrency", str(chance.randint(1, 2)))
    if kind == "reader":
        return (chance.choice(READERS),)
    return ("download", f"MODEL{chance.randrange(models)}")


def _fault(chance: random.Random, marks: set[str]) -> Fault:
    kind = chance.choice(
        (
            "refused",
            "too many",
            "dropped answer",
            "dropped request",
            "slow",
            "late",
            "malformed",
            "flipped bit",
            "wrong length",
            "no ranges",
            "server clock",
        )
    )
    marks.add(kind)
    where = chance.choice(_EVERYWHERE)
    match kind:
        case "refused":
            status = chance.choice((500, 502, 503, 504))
            return {"path": where, "error_rate": chance.choice((0.1, 0.3)), "status": status}
        case "too many":
            return {"path": where, "fail_next": 2, "status": 429, "retry_after": 0}
        case "dropped answer":
            return {
                "path": chance.choice((where, *_FILES)),
                "drop_after": chance.choice((0, 1, 100, 5_000, 100_000)),
                "drop_next": chance.randint(1, 4),
            }
        case "dropped request":
            return {
                "path": "/storage/v1",
                "drop_request_after": chance.choice((1, 5_000, 100_000)),
                "drop_next": chance.randint(1, 3),
            }
        case "slow":
            return {"path": chance.choice(_FILES), "throttle": chance.choice((200_000, 2_000_000))}
        case "late":
            return {"path": where, "latency": chance.choice((0.02, 0.2))}
        case "malformed":
            return {"path": where, "malformed": chance.randint(1, 3)}
        case "flipped bit":
            return {"path": chance.choice(_FILES[:1]), "flip_bit": 1}
        case "wrong length":
            return {"path": _FILES[0], "wrong_length": chance.randint(1, 5_000)}
        case "no ranges":
            return {"path": _FILES[0], "ignore_range": True}
        case _:
            return {"clock_offset": chance.choice((-_HOUR, _HOUR, 25 * _HOUR))}
