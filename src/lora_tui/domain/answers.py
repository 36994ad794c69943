"""Answers of several models to one prompt: who is asked, what came, which one was chosen.

Pure values. `serving/answers.py` asks, the Try screen and `lora-tui try` show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.text import terminal_safe

MOST_MODELS: Final = 7
"""The base model and six adapters: as many as Compare has letters for, and the base."""
LETTERS: Final = "ABCDEFG"
LONGEST_ANSWER: Final = 20_000
"""Characters; what a server sends beyond them is not read."""
MOST_TOKENS: Final = 100_000
"""Of one answer; servers have lower limits of their own."""
HIGHEST_TEMPERATURE: Final = 2
TIE: Final = "tie"
_TAB: Final = "    "


class Contestant(NamedTuple):
    """One model that is asked."""

    id: str
    """A model's id; `base` for the base model; `name:NAME` for an adapter that is only known by its
    name on the server."""
    name: str
    """As it is shown: the model's name, or `base model`."""
    adapter: str | None
    """What a request calls it; None for the base model."""


class Settings(NamedTuple):
    """How all of them are asked."""

    temperature: float = 0.0
    seed: int | None = None
    most_tokens: int = 256
    system: str = ""
    parallel: bool = False
    """Ask all at once. On a CPU a mixed batch answers the base model with an adapter."""


class Progress(StrEnum):
    """How far one answer is."""

    WAITING = "waiting"
    STREAMING = "answering"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes."""
        return self not in (Progress.WAITING, Progress.STREAMING)


class Answer(NamedTuple):
    """One answer, as far as it came."""

    progress: Progress = Progress.WAITING
    text: str = ""
    """As the server sent it, at most LONGEST_ANSWER characters: hostile; see `shown_lines`."""
    first_token: float | None = None
    """Seconds from the request to the first text."""
    rate: float | None = None
    """Tokens a second after the first one."""
    tokens: int = 0
    is_counted: bool = False
    """Whether the server counted the tokens; else they are the pieces that came."""
    finish: str = ""
    """Why it ended: `stop`, `length`, or `cut` where it was too long to be read."""
    error: str = ""
    """Why there is no more, in one sentence."""


class Round(NamedTuple):
    """One prompt and all answers to it, in the order in which they were shown."""

    prompt: str
    server: str
    contestants: tuple[Contestant, ...]
    answers: tuple[Answer, ...]
    settings: Settings
    winner: str | None = None
    """The id of a contestant, or TIE; None where nobody chose."""
    blind: bool = False
    """Whether it was chosen before the names were shown."""


def to_document(answer: Answer) -> dict[str, Any]:
    """The answer as JSON has it."""
    return {**answer._asdict(), "progress": answer.progress.value}


def from_document(document: Mapping[str, Any]) -> Answer:
    """The answer of `to_document`."""
    return Answer(**{**document, "progress": Progress(document["progress"])})


def shown_lines(text: str) -> list[str]:
    """The lines of an answer, safe for a terminal; they keep their indentation.

    Blank lines at the end, and of several blank lines all but one, are left out.
    """
    lines: list[str] = []
    for line in text[: LONGEST_ANSWER + 1].replace("\r\n", "\n").split("\n"):
        unindented = line.lstrip(" \t")
        indent = line[: len(line) - len(unindented)].replace("\t", _TAB)
        safe = terminal_safe(unindented, limit=LONGEST_ANSWER)
        if safe or (lines and lines[-1]):
            lines.append(f"{indent[:40]}{safe}" if safe else "")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def measures(answer: Answer, *, timed: bool = True) -> tuple[str, ...]:
    """What was measured of an answer, in words; without `timed` no times, which tell models apart.

    An approximate number has a `~`.
    """
    about = "" if answer.is_counted else "~"
    found = []
    if timed and answer.first_token is not None:
        found.append(f"first token {formats.latency(answer.first_token)}")
    if timed and answer.rate is not None:
        found.append(f"{about}{formats.token_rate(answer.rate)} tok/s")
    if answer.tokens:
        found.append(f"{about}{formats.counted(answer.tokens, 'token')}")
    return tuple(found)


def state_text(answer: Answer) -> str:
    """How far it is, in a word or two."""
    if answer.progress is Progress.DONE:
        return {"length": "stopped at the limit", "cut": "cut: too long"}.get(answer.finish, "done")
    return answer.progress.value


def can_win(answers: Sequence[Answer]) -> list[int]:
    """The places of the answers among which one can choose: those that came to their end."""
    return [n for n, answer in enumerate(answers) if answer.progress is Progress.DONE]
