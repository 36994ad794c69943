"""Reads what servers answer: the pieces of a streamed answer, lists of adapters, numbers.

Every server is asked as OpenAI's clients do where it can be; everything it says is checked, and
bounded, here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from lora_tui.errors import BackendError
from lora_tui.json_values import integer
from lora_tui.serving.client import Message, Piece
from lora_tui.text import terminal_safe

MOST_ADAPTERS: Final = 1000
"""Of a server; more are left out."""
LONGEST_NAME: Final = 300
"""Characters; an adapter with a longer name, which no request can give, is left out."""
LONGEST_PATH: Final = 4096
LONGEST_VERSION: Final = 60


def objects(answer: object, key: str, what: str) -> list[Mapping[str, Any]]:
    """The objects of a list: of the answer itself where `key` is empty, else of that key of it.

    Raises BackendError where the answer has no such list.
    """
    found = answer.get(key) if key and isinstance(answer, dict) else answer
    if not isinstance(found, list):
        raise not_understood(what)
    return [one for one in found[:MOST_ADAPTERS] if isinstance(one, Mapping)]


def text(value: object, longest: int) -> str:
    """A text of at most so many characters; empty where it is none, or a longer one."""
    return value if isinstance(value, str) and len(value) <= longest else ""


def log_probability(value: object) -> float | None:
    """A log-probability; None where the value is not one: not a number, or above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return min(found, 0.0) if math.isfinite(found) and found < _ROUNDING else None


def pieces(events: Iterable[Mapping[str, Any]], what: str) -> Iterator[Piece]:
    """The pieces of an answer, of the events of a chat or of a completion.

    The last piece has the counts, and why it ended. Raises BackendError where no event has said
    why it ended.
    """
    finish, asked, answered, seen = "", None, None, 0
    for event in events:
        usage = event.get("usage")
        if isinstance(usage, dict):
            asked = _count(usage.get("prompt_tokens"), asked)
            answered = _count(usage.get("completion_tokens"), answered)
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            continue
        choice = choices[0]
        delta = choice.get("delta")
        said = delta.get("content") if isinstance(delta, dict) else choice.get("text")
        if isinstance(said, str) and said:
            seen += 1
            yield Piece(said)
        reason = choice.get("finish_reason")
        finish = text(reason, 40) or finish
    if not finish and not seen:
        raise not_understood(what)
    yield Piece("", asked, answered, finish)


def as_prompt(messages: Sequence[Message]) -> str:
    """The contents one below the other, for a model without a chat template."""
    return "\n".join(message.content for message in messages)


def shown(name: str) -> str:
    """The name of an adapter, for a message."""
    return terminal_safe(name, limit=80)


def asked_of(server: str, adapter: str | None) -> str:
    """What a question asks, for a message: an adapter, or the base model, of this server."""
    return f"ask {'the base model' if adapter is None else shown(adapter)} on {server}"


def not_understood(what: str) -> BackendError:
    """The error for an answer of a form that no server has."""
    return BackendError(
        f"Could not {what}: the server's answer can't be understood",
        remedy="check what runs at its address",
    )


def _count(value: object, before: int | None) -> int | None:
    found = integer(value) if not isinstance(value, str) else None
    return found if found is not None and found >= 0 else before


_ROUNDING: Final = 1e-3
"""A server may give a certain token a little more than 0."""
