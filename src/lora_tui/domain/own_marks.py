"""One's own marks of models: favorites, tags, notes and aliases, and what may be written in them.

Pure values. The file that holds them is the business of `marks/`, their copy for searches that of
`cache/own_marks.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lora_tui.errors import UsageError
from lora_tui.text import terminal_safe

LONGEST_TAG: Final = 40
"""Characters; of an alias too."""
LONGEST_NOTE: Final = 10_000
MOST_TAGS: Final = 50
"""Tags of one model."""
MOST_MOVES: Final = 1_000
"""Moves of one alias that are kept; the oldest go first."""
LONGEST_NAME: Final = 200
_MOST_INDENT: Final = 40
_TAG_SIGNS: Final = frozenset("-_./")
_ALIAS_SIGNS: Final = frozenset("-_.")


class ModelMarks(NamedTuple):
    """What the user has noted about one model."""

    name: str = ""
    """The model's name when it was marked last, to name it once it is gone."""
    favorite: bool = False
    tags: tuple[str, ...] = ()
    """Sorted, ignoring case."""
    note: str = ""
    """Lines of text."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return not (self.favorite or self.tags or self.note)


class AliasMove(NamedTuple):
    """One step in the history of an alias."""

    at: str
    """When, as `clock.timestamp_text` writes it."""
    model_id: str
    """What it names from then on; empty where it was removed."""
    name: str = ""
    """The name of that model."""


@dataclass
class Marks:
    """All marks of one account. The functions of `marks/changes.py` change it in place."""

    models: dict[str, ModelMarks] = field(default_factory=dict)
    """By the id of the model."""
    aliases: dict[str, tuple[AliasMove, ...]] = field(default_factory=dict)
    """The history of each alias, the oldest move first; never empty."""

    def alias_named(self, typed: str) -> str | None:
        """The alias that was typed, ignoring case; None where there was none of this name."""
        return like(typed, self.aliases)

    def current(self, alias: str) -> AliasMove | None:
        """The model that an alias names now; None where it was removed, or there is none."""
        moves = self.aliases.get(alias, ())
        return moves[-1] if moves and moves[-1].model_id else None

    def aliases_of(self, model_id: str) -> list[str]:
        """The aliases that name a model now."""
        return sorted(
            alias for alias, moves in self.aliases.items() if moves[-1].model_id == model_id
        )

    def marks_of(self, model_id: str) -> ModelMarks:
        """The marks of a model, which may be none."""
        return self.models.get(model_id, ModelMarks())

    def put(self, model_id: str, marks: ModelMarks) -> None:
        """Store the marks of a model; it is dropped where it has none."""
        if marks.is_empty:
            self.models.pop(model_id, None)
        else:
            self.models[model_id] = marks


def like(typed: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is `typed`, ignoring case; None where there is none."""
    folded = typed.casefold()
    return next((text for text in known if text.casefold() == folded), None)


def sorted_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags in their order, each once, ignoring case."""
    by_fold = {tag.casefold(): tag for tag in sorted(tags, reverse=True)}
    return tuple(by_fold[key] for key in sorted(by_fold))


def tag_of(text: str) -> str:
    """The tag that was typed. Raises UsageError, which says what a tag may be."""
    return _word(text, "tag", _TAG_SIGNS, "letters, digits, dots and - _ /")


def alias_of(text: str) -> str:
    """The alias that was typed, with or without its @. Raises UsageError."""
    return _word(text.removeprefix("@"), "alias", _ALIAS_SIGNS, "letters, digits, dots and - _")


def note_of(text: str) -> str:
    """A note that can be shown: lines without control characters. Raises UsageError if too long."""
    note = clean_lines(text)
    if len(note) > LONGEST_NOTE:
        raise UsageError(
            f"The note has {len(note):,} characters; at most {LONGEST_NOTE:,} are kept",
            remedy="shorten it, or keep it in a file and note its path",
        )
    return note


def clean_lines(text: str) -> str:
    """Lines without control characters; indentation stays, other runs of blanks become one."""
    lines = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = line.expandtabs(4)
        indent = min(len(line) - len(line.lstrip(" ")), _MOST_INDENT)
        rest = terminal_safe(line, limit=LONGEST_NOTE + 1)
        lines.append(" " * indent + rest if rest else "")
    return "\n".join(lines).strip("\n")


def name_of(text: object) -> str:
    """The name of a model as it is kept beside its marks."""
    return terminal_safe(text, limit=LONGEST_NAME)


def words_of(*texts: str) -> str:
    """The words of texts for a search: folded, with one space before and after each.

    A word is a run of letters and digits; case and accents are ignored.
    """
    folded = unicodedata.normalize("NFKD", " ".join(texts)).casefold()
    kept = "".join(
        character if character.isalnum() else "" if unicodedata.combining(character) else " "
        for character in folded
    )
    return f" {' '.join(kept.split())} " if kept.strip() else ""


def tag_counts(models: Mapping[str, ModelMarks]) -> dict[str, int]:
    """Tag → number of models that have it, in the order of the tags."""
    counts: dict[str, int] = {}
    spelled: dict[str, str] = {}
    for marks in models.values():
        for tag in marks.tags:
            tag = spelled.setdefault(tag.casefold(), tag)
            counts[tag] = counts.get(tag, 0) + 1
    return {tag: counts[tag] for tag in sorted(counts, key=str.casefold)}


def _word(text: str, what: str, signs: frozenset[str], may_be: str) -> str:
    word = unicodedata.normalize("NFC", text.strip())
    shown = repr(terminal_safe(text, limit=60))
    if not word:
        raise UsageError(f"The {what} is empty", remedy=f"use {may_be}")
    if len(word) > LONGEST_TAG:
        raise UsageError(
            f"The {what} {shown} has {len(word):,} characters",
            remedy=f"use at most {LONGEST_TAG}",
        )
    kinds = [unicodedata.category(character)[0] for character in word]
    # M: the vowels of Hindi and Thai, which stand behind a letter
    if kinds[0] not in "LN" or not all(
        kind in "LNM" or character in signs for character, kind in zip(word, kinds, strict=True)
    ):
        raise UsageError(
            f"{shown} can't be {'an' if what[0] in 'aeiou' else 'a'} {what}",
            remedy=f"use {may_be}, with a letter or digit first",
        )
    return word
