"""Removes keys, tokens and links from remote text, for messages and logs."""

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


_WORDS: Final = (
    r"(?:(?<!mon)key(?!s\b|words?\b|board|error)|secret|passw(?:or)?d|passphrase|signature"
    r"|credential|token(?!i[sz]|s?[_-]?ids?\b|s\b[\"']?\s*[:=]\s*\d{1,9}(?!\w)))"
)
"""Part of a secret's name; not of `KeyError`, `tokenizer`, `pad_token_id`, or a count."""
_NO_SECRETS: Final = (
    r"(?!(?:invalid|missing|expired|required|unexpected|unknown|wrong|not|is|was|the|none|null"
    r"|true|false)\b(?![\w=:/+-]))"
)
"""Words that may follow a colon and are no secret, as in "key: invalid"."""
_SECRETS: Final = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), MASK),
    (re.compile(r"(?<![A-Za-z0-9])(?:sb_[a-z]+|rpa|gh[a-z]|github_pat)_[\w-]{4,}"), MASK),
    (re.compile(r"(?<![A-Za-z0-9])hf_(?!transfer\b)[A-Za-z0-9]{8,}"), MASK),
    (re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{8,}"), MASK),
    (re.compile(r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{12,}"), MASK),
    (re.compile(r"(?i)\bbearer(?:\s|%20|\+)+[^\s\"',;]+"), f"Bearer {MASK}"),
    (
        re.compile(
            r"\b(?i:basic)(?:\s|%20|\+)+(?=[A-Za-z][a-z]*[A-Z0-9+/=]|[0-9+/])[A-Za-z0-9+/_-]{4,}=*"
        ),
        f"Basic {MASK}",
    ),
    (re.compile(r"(?i)(?<![a-z0-9])([a-z][a-z0-9+.-]{0,30}://)[^\s/?#\"'<>]*@"), rf"\1{MASK}@"),
    (
        re.compile(
            rf"(?i)(?<![\w.-])(?=[\w.-]*{_WORDS})([\w.-]+"
            r"(?:\\*[\"'])?\s*(?:=>|[=:]|%(?:25)*3[da])\s*\\*)"
            + _NO_SECRETS
            + r"(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s\"'<>&]+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>]+)\?[^\s\"'<>]*"), rf"\1?{MASK}"),
    (re.compile(r"([\w%/.-]+)\?[\w.~%-]+=[^\s\"'<>]*"), rf"\1?{MASK}"),
)
