"""Makes remote text safe for terminals and logs, and measures its width."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from lora_tui.secret import MASK, without_held

_MOST_COMBINING = 4
_ELLIPSIS = "…"
_LEAST_FOR_BOTH_ENDS = 9
"""Cells; a text that is cut to fewer keeps its beginning only."""
_WORDS = (
    r"(?:(?<!mon)key(?!s\b|words?\b|board|error)|secret|passw(?:or)?d|passphrase|signature"
    r"|credential|token(?!i[sz]|s?[_-]?ids?\b|s\b[\"']?\s*[:=]\s*\d{1,9}(?!\w)))"
)
"""Part of a secret's name; not of `KeyError`, `tokenizer`, `pad_token_id`, or a count."""
_NO_SECRETS = (
    r"(?!(?:invalid|missing|expired|required|unexpected|unknown|wrong|not|is|was|the|none|null"
    r"|true|false)\b(?![\w=:/+-]))"
)
"""Words that may follow a colon and are no secret, as in "key: invalid"."""


def terminal_safe(text: object, *, limit: int = 2_000, lines: bool = False) -> str:
    """Neutralise remote text for a terminal; at most `limit` characters are left.

    Dropped: control characters (so no escape sequence survives), bidirectional and other format
    marks, zero-width characters, surrogates, private use, and combining marks beyond four on one
    character. White space of any kind becomes one plain space; with `lines`, line breaks stay.
    Secrets that this process holds are masked (secret.py). Markup is not touched: what it means
    depends on who renders it, and we never let it be parsed.
    """
    if not isinstance(text, str):
        text = "" if text is None else _as_text(text)
    text = without_held(text)
    if text.isascii() and text.isprintable() and len(text) <= limit:
        is_single_spaced = "  " not in text and text == text.strip()  # as nearly all texts are
        return text if is_single_spaced else " ".join(text.split())
    kept: list[str] = []
    combining = 0
    for character in text[: limit * 4]:
        if lines and character == "\n":
            kept.append("\n")
            continue
        category = unicodedata.category(character)
        if character in "\t\r\n\v\f" or category in ("Zs", "Zl", "Zp"):
            kept.append(" ")
        elif category in _UNSAFE_CATEGORIES:
            continue
        elif category in ("Mn", "Me"):
            combining += 1
            if combining > _MOST_COMBINING:
                continue
            kept.append(character)
            continue
        else:
            kept.append(character)
        combining = 0
    cleaned = "".join(kept)
    if lines:
        cleaned = "\n".join(" ".join(line.split()) for line in cleaned.split("\n")).strip()
    else:
        cleaned = " ".join(cleaned.split())
    cleaned = without_held(cleaned)
    if len(cleaned) > limit:
        cleaned = cleaned[: limit - 1].rstrip() + _ELLIPSIS
    return cleaned


def _as_text(value: object) -> str:
    """The value as text; an ellipsis where Python refuses: huge numbers, deep nesting."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return _ELLIPSIS


def without_secrets(text: object, *, limit: int = 500) -> str:
    """Text for a message or a log: safe for a terminal, keys, tokens and query strings masked."""
    cleaned = terminal_safe(text, limit=limit * 4)
    for pattern, replacement in _patterns_of_secrets():
        cleaned = pattern.sub(replacement, cleaned)
    return terminal_safe(cleaned, limit=limit)


@cache
def _patterns_of_secrets() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compiled when they are first needed: `list` loads this module."""
    return (
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


def printable(text: str) -> str:
    """Text without control characters; lines and tabs stay.

    The last check before an output; single values pass `terminal_safe` before.
    """
    return _SUSPICIOUS.sub(_safe_form, text)


def _safe_form(found: re.Match[str]) -> str:
    category = unicodedata.category(found[0])
    return " " if category in ("Zl", "Zp") else "" if category in _UNSAFE_CATEGORIES else found[0]


_SUSPICIOUS = re.compile(r"[^\x20-\x7e\n\t]")
_UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Co")


def cell_width(text: str) -> int:
    """How many cells of a terminal `text` takes; it has passed `terminal_safe`."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def fit(
    text: str,
    width: int,
    *,
    right: bool = False,
    ellipsis: str = _ELLIPSIS,
    measure: Callable[[str], int] = cell_width,
) -> str:
    """Pad or cut the text to exactly `width` cells; a cut text ends in an ellipsis.

    `right`: pad on the left. `measure` returns how many cells a text takes.
    """
    if width <= 0:
        return ""
    occupied = measure(text)
    if occupied > width:
        end = used = 0
        for character in text:
            cells = measure(character)
            if used + cells > width - 1:
                break
            end += 1
            used += cells
        text = text[:end].rstrip() + ellipsis
        occupied = measure(text)
    padding = " " * (width - occupied)
    return padding + text if right else text + padding


def fit_ends(
    text: str,
    width: int,
    *,
    ellipsis: str = _ELLIPSIS,
    measure: Callable[[str], int] = cell_width,
) -> str:
    """Pad or cut the text to exactly `width` cells; a cut text keeps its beginning and its end.

    Its last word stays whole if that takes at most half of the cells: names end in a date.
    """
    if width < _LEAST_FOR_BOTH_ENDS or measure(text) <= width:
        return fit(text, width, ellipsis=ellipsis, measure=measure)
    tail_width = (width - 1) // 3
    last_word = measure(text[text.rstrip().rfind(" ") + 1 :])
    if last_word <= width // 2:
        tail_width = max(tail_width, last_word)
    start = len(text)
    while start and measure(text[start - 1 :]) <= tail_width:
        start -= 1
    tail = text[start:].lstrip()
    head = fit(text, width - measure(tail), ellipsis=ellipsis, measure=measure).rstrip()
    return fit(head + tail, width, ellipsis=ellipsis, measure=measure)


def with_profile(text: str, profile: str) -> str:
    """The text with `--profile` in each command that it suggests, so that it can be pasted."""
    if not re.fullmatch(r"[\w.-]+", profile, re.ASCII):  # no name of a profile
        return text
    return re.sub(r"`lora-tui (?!demo\b|--profile\b)", f"`lora-tui --profile {profile} ", text)
