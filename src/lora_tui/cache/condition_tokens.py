"""Splits a condition into words and signs, and points at one of them in an error."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lora_tui.errors import ConditionError
from lora_tui.text import cell_width

LONGEST: Final = 4_000
"""Characters of a condition."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<sign><=|>=|<>|!=|!~|==|[=<>~(),≤≥≠])
    |(?P<word>[^\s'"=<>~(),!≤≥≠]+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS: Final = ("and", "or", "not", "in", "is")


class Token(NamedTuple):
    """A word or a sign of a condition, and its place in characters from 0."""

    kind: str
    """`word`, `quoted`, `sign`, or `end`."""
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The word in lower case if it is a keyword; else empty."""
        word = self.text.lower() if self.kind == "word" else ""
        return word if word in _KEYWORDS else ""


def read_tokens(text: str) -> list[Token]:
    """The words and signs of a condition, and the end. Raises ConditionError."""
    if len(text) > LONGEST:
        raise error_at(
            text,
            f"The condition has {len(text):,} characters",
            Token("end", "", LONGEST, LONGEST),
            f"write at most {LONGEST:,}; `in (…)` takes the place of many comparisons",
        )
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup or "", Token("", match[0], match.start(), match.end())
        if kind == "other":
            raise _unreadable(text, token)
        bad = next((c for c in match[0] if not c.isprintable() and not c.isspace()), "")
        if bad:
            place = match.start() + match[0].index(bad)
            raise error_at(
                text,
                "A condition has no control characters",
                Token("", bad, place, place + 1),
                "leave it out",
            )
        if kind != "space":
            tokens.append(token._replace(kind=kind))
    if not tokens:
        raise error_at(
            text,
            "The condition is empty",
            Token("end", "", 0, 0),
            "write a column, an operator and a value, like 'rank >= 16'",
        )
    return [*tokens, Token("end", "", len(text.rstrip()), len(text.rstrip()))]


def error_at(condition: str, message: str, token: Token, remedy: str) -> ConditionError:
    """The error that points at a token of the condition."""
    return ConditionError(
        message, condition=condition, span=(token.start, token.end), remedy=remedy
    )


def pointing_lines(error: ConditionError, width: int) -> tuple[str, str]:
    """The condition, or the part around the wrong word, and a line of carets below the word.

    Both take at most `width` cells.
    """
    start, end = error.span
    text = "".join(c if c.isprintable() else " " for c in error.condition).rstrip()
    first, last = _part(text, start, width)
    before, after = "…" if first else "", "…" if last < len(text) else ""
    indent = cell_width(before + text[first:start])
    carets = max(1, cell_width(text[start : min(end, last)]))
    return f"{before}{text[first:last]}{after}", " " * indent + "^" * carets


def short(text: str) -> str:
    """A word of the condition for a message."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _unreadable(condition: str, token: Token) -> ConditionError:
    if token.text in "'\"":
        return error_at(
            condition,
            "This quote is never closed",
            token,
            f"write {token.text} after the text; in double quotes a text may have '",
        )
    return error_at(
        condition, f"{short(token.text)} alone means nothing", token, "write `not` or !="
    )


def _part(text: str, place: int, width: int) -> tuple[int, int]:
    """Where the part of the text around a place begins and ends; it takes at most `width` cells."""
    if cell_width(text) < width:  # one cell is for a caret behind the text
        return 0, len(text)
    room, first = max(1, width - 3), place
    while first and cell_width(text[first - 1 : place]) <= room // 2:
        first -= 1
    last = first
    while last < len(text) and cell_width(text[first : last + 1]) <= room:
        last += 1
    while first and cell_width(text[first - 1 : last]) <= room:
        first -= 1
    return first, last
