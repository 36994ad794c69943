"""False answers and damages that an episode may have besides its faults, drawn from the seed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

from tests.campaign.episode import Episode, Fault

_FILES: Final = ("/storage/v1/object/sign", "/worker-files")
_TABLES: Final = "/rest/v1/"
_STATUS: Final = "/v2/demo-endpoint/status"
_ANYWHERE: Final = ("/rest/v1", "/storage/v1", "/auth/v1", "/v2", *_FILES)
_CUT_AT: Final = (1, 100, 5_000, 60_000)

WIRE: Final = (
    "chunks break off",
    "compressed unasked",
    "trickle",
    "flood of 103",
    "flood of headers",
    "HTML from a proxy",
    "one PGRST303",
    "one 401",
    "repeated page",
    "wrong counts",
    "counts time out",
    "statement timeout",
    "half characters",
    "old secret",
)
WORKER: Final = (
    "worker says null",
    "worker says []",
    "COMPLETED without output",
    "HTML for a file",
    "weights cut short",
    "weights of 0 bytes",
    "very slow file",
)
MACHINE: Final = (
    "process suspended",
    "link or pipe planted",
    "another model's file planted",
    "odd rows",
    "upload taken over",
    "two models in one directory",
)
KINDS: Final = (*WIRE, *WORKER, *MACHINE)
_ROW_LIES: Final = {"repeated page", "wrong counts", "counts time out", "half characters"}
ODD_ROWS: Final = ("odd model", "odd job", "odd dataset")


def with_lies(episode: Episode, chance: random.Random, models: int) -> Episode:
    """The episode with up to two of them, and with `--json` for some commands."""
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        episode = _with(episode, chance.choice(KINDS), chance, models)
    if chance.random() < 0.4:
        commands = tuple((*command, "--json") for command in episode.commands)
        episode = replace(episode, commands=commands, marks=episode.marks | {"--json"})
    return episode


def _with(episode: Episode, kind: str, chance: random.Random, models: int) -> Episode:
    episode = replace(episode, marks=episode.marks | {kind})
    if kind in WIRE or kind in WORKER:
        if kind in _ROW_LIES:
            full = kind == "half characters"  # rows that were changed on their way bear true times
            episode = replace(episode, recheck="full" if full else "changes")
        if kind in WORKER:
            episode = replace(episode, commands=(*episode.commands, ("--harvest", "--once")))
        if kind in ("trickle", "very slow file"):
            episode = replace(episode, calm_after=chance.uniform(3, 8))
        return replace(episode, faults=(*episode.faults, *_faults(kind, chance)))
    match kind:
        case "process suspended":
            stop = (chance.randint(1, 12), chance.choice((1.0, 3.0, 12.0)))
            return replace(episode, suspend=stop)
        case "odd rows":
            return replace(
                episode, edits=(*episode.edits, chance.choice(ODD_ROWS)), recheck="changes"
            )
        case "upload taken over":
            return replace(
                episode,
                commands=(*episode.commands, ("--harvest", "--once")),
                # slow enough that it happens during a transfer
                faults=(*episode.faults, {"path": "/storage/v1/upload", "throttle": 2_000_000}),
                take_over=chance.randint(1, 3),
            )
        case "two models in one directory":
            shared = tuple(
                ("download", f"MODEL{chance.randrange(models)}", "--to", "SHARED") for _ in range(2)
            )
            return replace(episode, commands=(*episode.commands[:1], *shared))
        case _:
            planted = chance.choice(("link", "pipe")) if "link" in kind else "other model"
            fetch = ("download", f"MODEL{chance.randrange(models)}")
            return replace(
                episode,
                plant=(planted, chance.randrange(1 << 30)),
                commands=(*episode.commands, fetch),
            )


def _faults(kind: str, chance: random.Random) -> tuple[Fault, ...]:
    where = chance.choice(_ANYWHERE)
    file = chance.choice(_FILES)
    times = chance.randint(1, 3)
    match kind:
        case "chunks break off":
            cut = {"drop_after": chance.choice(_CUT_AT), "drop_next": times}
            return ({"path": where, "chunked": times + 2} | cut,)
        case "compressed unasked":
            return ({"path": where, "compressed": times},)
        case "trickle":
            return ({"path": where, "trickle": chance.choice((2, 5, 30))},)
        case "flood of 103":
            return ({"path": where, "interim_answers": chance.choice((1, 20, 5_000))},)
        case "flood of headers":
            return ({"path": where, "header_lines": chance.choice((20, 150, 3_000))},)
        case "HTML from a proxy":
            return (_answered(where, times, chance.choice((200, 400, 403, 404, 503)), "html"),)
        case "one PGRST303":
            return (_answered(_TABLES, 1, 401, "PGRST303"),)
        case "one 401":
            return (_answered(chance.choice(("/rest/v1", "/storage/v1", "/v2")), 1, 401, None),)
        case "repeated page":
            # pages are small, so that there are several
            return ({"path": _TABLES, "repeat_page": True}, {"max_rows": chance.choice((1, 2, 7))})
        case "wrong counts":
            return ({"path": _TABLES, "count_off": chance.choice((-3, -1, 1, 1_000))},)
        case "counts time out":
            return ({"path": _TABLES, "count_times_out": chance.choice((1, -1))},)
        case "statement timeout":
            return (_answered(_TABLES, times, 500, "57014"),)
        case "half characters":
            return ({"path": _TABLES, "lone_surrogates": times},)
        case "old secret":
            return ({"session_secret": f"rotated {chance.random()}"},)
        case "worker says null":
            return (_answered(_STATUS, times, 200, "null"),)
        case "worker says []":
            return (_answered(_STATUS, times, 200, "list"),)
        case "COMPLETED without output":
            return (_answered(_STATUS, times, 200, "no output"),)
        case "HTML for a file":
            return (_answered(file, times, 200, "html"),)
        case "weights cut short":
            return ({"path": _FILES[1], "wrong_length": chance.randint(10, 5_000)},)
        case "weights of 0 bytes":
            return ({"path": _FILES[1], "wrong_length": 1 << 40},)
        case "very slow file":
            return ({"path": file, "throttle": chance.choice((500, 4_000))},)
    raise ValueError(kind)


def _answered(path: str, times: int, status: int, body: str | None) -> dict[str, Any]:
    return {"path": path, "fail_next": times, "status": status, "answer_with": body}
