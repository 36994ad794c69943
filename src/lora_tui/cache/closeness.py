"""How near a typed text comes to another one, where the user may have mistyped it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Final

_LEAST: Final = 0.6
_MOST_NEAREST: Final = 3
_LEAST_WORD: Final = 0.7
"""The least closeness of each typed word to some word of the text."""
_SHORTEST: Final = 3
"""Characters; a shorter word must be the beginning of a word as it is."""
_WORDS: Final = re.compile(r"[^\W_]+")


def closeness(typed: str, text: str) -> float:
    """From 0 to 1 (equal, ignoring case); 0.6 and more is near.

    Near is what resembles the whole text, and what has words that each resemble the beginning of a
    word of the text.
    """
    typed, text = typed.casefold(), text.casefold()
    whole = _ratio(typed, text)
    words = _WORDS.findall(typed)
    if not words:
        return whole
    others = _WORDS.findall(text)
    each = [max((_word(word, other) for other in others), default=0.0) for word in words]
    return whole if min(each) < _LEAST_WORD else max(whole, 0.95 * sum(each) / len(each))


def nearest(typed: str, names: Iterable[str]) -> list[str]:
    """At most three of a few names that come near, the nearest first."""
    rated = [(closeness(typed, name), name) for name in names]
    near = nlargest(_MOST_NEAREST, rated, key=lambda one: one[0])
    return [name for rating, name in near if rating >= _LEAST]


def _word(word: str, other: str) -> float:
    if other.startswith(word):
        return 1.0
    if len(word) < _SHORTEST:
        return 0.0
    return max(_ratio(word, other[: len(word) + more]) for more in (0, 1))


def _ratio(typed: str, text: str) -> float:
    return SequenceMatcher(a=text, b=typed, autojunk=False).ratio()
