"""Data as the text of JSON that every parser takes: numbers that are none become null.

Loaded by the quick `list`, so it imports nothing that takes time.
"""

from __future__ import annotations

import json
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def json_text(data: Any, *, indent: int | None = None) -> str:
    """ASCII, so that no remote text can act on a terminal; NaN and infinities become null."""
    try:
        return json.dumps(data, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(finite(data), indent=indent, allow_nan=False)


def finite(data: Any) -> Any:
    """The same data with null for each number that is none."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {_key(key): finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return data


def _key(key: Any) -> Any:
    return str(key) if isinstance(key, float) else key
