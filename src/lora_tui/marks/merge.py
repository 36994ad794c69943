"""Merges marks of another file into one's own: nothing that one has is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from lora_tui.clock import timestamp_text
from lora_tui.domain.own_marks import (
    LONGEST_NOTE,
    MOST_MOVES,
    MOST_TAGS,
    Marks,
    like,
    sorted_tags,
)

_WRONG_CLOCK: Final = timedelta(days=1)
"""So far may the clock of another machine be ahead."""


@dataclass
class Merged:
    """What a merge did, or would do: ids of models, and aliases."""

    favorites: list[str] = field(default_factory=list)
    """That are favorites now."""
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Added tags, by model."""
    notes: list[str] = field(default_factory=list)
    """Whose notes came, or were added to."""
    aliases: list[str] = field(default_factory=list)
    """That name another model now."""
    histories: list[str] = field(default_factory=list)
    """Whose history has more moves, but that name the same model."""
    kept: list[str] = field(default_factory=list)
    """What did not fit, in words."""

    @property
    def changes_nothing(self) -> bool:
        """Whether all of it was there already."""
        return not (self.favorites or self.tags or self.notes or self.aliases or self.histories)


def merge(mine: Marks, theirs: Marks, now: datetime) -> Merged:
    """Add the marks of `theirs` to `mine`, in place.

    Favorites and tags of both stay. Different notes of one model are put below each other. The
    moves of an alias are put in the order of their times, so the latest move wins; those of the
    future, which would always win, are left out. To merge the same marks again changes nothing.
    """
    merged = Merged()
    for model_id, other in theirs.models.items():
        own = mine.marks_of(model_id)
        tags = sorted_tags([*own.tags, *(t for t in other.tags if like(t, own.tags) is None)])
        if len(tags) > MOST_TAGS:
            merged.kept.append(f"{other.name or model_id}: its tags, more than {MOST_TAGS}")
            tags = own.tags
        note = _joined(own.note, other.note)
        if len(note) > LONGEST_NOTE:
            merged.kept.append(f"{other.name or model_id}: the note, too long with the other")
            note = own.note
        if other.favorite and not own.favorite:
            merged.favorites.append(model_id)
        if tags != own.tags:
            merged.tags[model_id] = tuple(tag for tag in tags if tag not in own.tags)
        if note != own.note:
            merged.notes.append(model_id)
        mine.put(
            model_id,
            own._replace(
                name=own.name or other.name,
                favorite=own.favorite or other.favorite,
                tags=tags,
                note=note,
            ),
        )
    _merge_aliases(mine, theirs, merged, timestamp_text(now + _WRONG_CLOCK))
    return merged


def replace_all(mine: Marks, theirs: Marks) -> None:
    """Make `mine` the same as `theirs`, in place."""
    mine.models, mine.aliases = dict(theirs.models), dict(theirs.aliases)


def _joined(mine: str, theirs: str) -> str:
    """Both, one below the other; the longer one where it has all lines of the other."""
    if f"\n{theirs}\n" in f"\n{mine}\n" or not theirs:
        return mine
    return theirs if not mine or f"\n{mine}\n" in f"\n{theirs}\n" else f"{mine}\n\n{theirs}"


def _merge_aliases(mine: Marks, theirs: Marks, merged: Merged, latest: str) -> None:
    for other_alias, moves in theirs.aliases.items():
        alias = mine.alias_named(other_alias) or other_alias
        before, current = mine.aliases.get(alias, ()), mine.current(alias)
        known = {(move.at, move.model_id) for move in before}
        new = [move for move in moves if (move.at, move.model_id) not in known]
        if any(move.at > latest for move in new):
            merged.kept.append(f"@{alias}: a move of the future")
            new = [move for move in new if move.at <= latest]
        if not new:
            continue
        together = sorted([*before, *new], key=lambda move: move.at)
        mine.aliases[alias] = tuple(together[-MOST_MOVES:])
        now = mine.current(alias)
        moved = (current and current.model_id) != (now and now.model_id)
        (merged.aliases if moved else merged.histories).append(alias)
