"""Text that would act on a terminal, planted into everything that a backend or a file can give."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

ACTS = (
    "\x1b]0;owned\x07\x1b[31m\x9b2J\x1bP0;1|17/61\x1b\\\x90q\x9c\b\b\r\x7f\x85\v\f\x00\x0e"
    "\u202e\u202a\u2066\u2069\u200e\u061c\u200b\u200d\u2060\ufeff\u00ad\u2028\u2029\U000e0041"
)
HOSTILE = f"{ACTS}planted [red]x[/red] [/] [@click=app.quit]q[/] \ud800"
"""What is left of it is legible: `planted`, and its markup as text."""

_AS_IT_IS = re.compile(
    r"id|.*_id|.*_at|timestamp|.*token|.*_key|signed_?url|key|.*path|bucket.*|expires.*|status|code"
    r"|statusCode|error_code|etag|eTag|url|event|role|aud|alg|typ|provider|token_type|mimetype",
    re.IGNORECASE,
)
_STRUCTURE = re.compile(r"[0-9a-fA-F-]{36}|[-0-9.]+|\d{4}-\d\d-\d\d.*|https?:.*")


def acting(text: str) -> str:
    """The characters of it that act on a terminal, or are no text."""
    return "".join(
        character
        for character in text
        if character not in "\n\t"
        and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    )


def planted(data: Any, key: str = "") -> Any:
    """JSON in which every text that is free says something hostile; ids, times and links stay."""
    if isinstance(data, dict):
        grown = {name: planted(value, name) for name, value in data.items()}
        if key in ("hyperparameters", "gpu_config", "configuration", "metadata", "model_metadata"):
            grown[HOSTILE] = HOSTILE
        if key == "artifacts" and data:
            grown[f"{HOSTILE}.json"] = next(iter(data.values()))
        return grown
    if isinstance(data, list):
        return [planted(value, key) for value in data]
    if not isinstance(data, str) or _AS_IT_IS.fullmatch(key) or key == "artifacts":
        return data
    return data if _STRUCTURE.fullmatch(data) else f"{data}{HOSTILE}"


def planted_answer(path: str, body: bytes) -> bytes:
    """An answer of a project or a worker, planted where it is JSON."""
    if "/object/sign/" in path and "token=" in path:
        return body
    try:
        data = json.loads(body)
    except ValueError:
        return body
    return json.dumps(planted(data)).encode()
