"""JSON of which nothing is promised, read without failing: numbers, objects, text, ids."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lora_tui.text import terminal_safe

Row = Mapping[str, Any]
"""One row of a table, as the backend sent it."""


def number(value: object) -> float | None:
    """A finite number from a JSON number or a numeric string; None from anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def whole(value: object) -> int | None:
    """Like `number`, rounded to the nearest integer."""
    result = number(value)
    return None if result is None else round(result)


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or the text of one; the empty mapping from anything else."""
    if isinstance(value, dict):  # asked first: the abstract class takes ten times as long
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def text_or_none(value: object, *, limit: int = 200, lines: bool = False) -> str | None:
    """Text as it may be shown; None from nothing, from JSON objects and from lists."""
    if value is None or isinstance(value, (Mapping, list)):
        return None
    return terminal_safe(value, limit=limit, lines=lines) or None


def take(data: dict[str, Any], *names: str) -> Any:
    """The first of `names` that is there and not null; all of them are removed from `data`."""
    values = [data.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)


def other_values(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What is left of an object whose known keys were taken, as text, in the order of its keys."""
    return tuple(
        (terminal_safe(key, limit=60), terminal_safe(_plain(value), limit=200))
        for key, value in sorted(data.items(), key=lambda item: str(item[0]))
    )


def identifier(value: object) -> str:
    """An id as it may be shown."""
    return terminal_safe(value, limit=64)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
