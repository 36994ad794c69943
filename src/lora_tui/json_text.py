"""Writes JSON that every parser accepts, and reads JSON into values that can be stored.

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


def parsed(text: str | bytes) -> Any:
    """The data of JSON from elsewhere. Raises ValueError, RecursionError.

    NaN and infinities are null. Halves of a surrogate pair, which no file, database or terminal
    takes, become the replacement character.
    """
    if not isinstance(text, str):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    data = _DECODER.decode(text)
    return (
        replace_surrogates(data) if "\\ud" in text or "\\uD" in text or not _is_utf8(text) else data
    )


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def replace_surrogates(data: Any) -> Any:
    """The same data with the replacement character for each half of a surrogate pair."""
    if isinstance(data, str):
        return (
            data
            if _is_utf8(data)
            else data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(data, dict):
        return {replace_surrogates(key): replace_surrogates(value) for key, value in data.items()}
    return [replace_surrogates(value) for value in data] if isinstance(data, list) else data


def finite(data: Any) -> Any:
    """The same data with null for NaN and infinities."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {_key(key): finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return data


def _key(key: Any) -> Any:
    return str(key) if isinstance(key, float) else key
