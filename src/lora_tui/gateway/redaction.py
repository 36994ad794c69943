"""Text of other machines for messages and logs, without the keys and links that it may hold."""

from __future__ import annotations

import re
from typing import Final

from lora_tui.secret import MASK
from lora_tui.text import terminal_safe


def without_secrets(text: object, *, limit: int = 500) -> str:
    """Text for a message or a log: safe for a terminal, keys, tokens and query strings masked."""
    cleaned = terminal_safe(text, limit=limit * 4)
    for pattern, replacement in _SECRETS:
        cleaned = pattern.sub(replacement, cleaned)
    return terminal_safe(cleaned, limit=limit)


_SECRETS: Final = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), MASK),
    (re.compile(r"\bsb_[a-z]+_[\w-]+"), MASK),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',;]+"), f"Bearer {MASK}"),
    (
        re.compile(
            r"(?i)\b(token|apikey|password|signature|credential)(\"?\s*[=:]\s*\"?)[^\s\"'&,;]+"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>]+)\?[^\s\"'<>]*"), rf"\1?{MASK}"),
    (re.compile(r"([\w%/.-]+)\?[\w.~%-]+=[^\s\"'<>]*"), rf"\1?{MASK}"),
)
