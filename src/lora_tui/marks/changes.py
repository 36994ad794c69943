"""What can be done to marks. Each function changes the marks in place and says what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain.own_marks import (
    MOST_MOVES,
    MOST_TAGS,
    AliasMove,
    Marks,
    like,
    name_of,
    note_of,
    sorted_tags,
    tag_counts,
    tag_of,
)
from lora_tui.errors import NotFoundError, UsageError

Named = Mapping[str, str]
"""Ids of models, with their names."""


class TagChange(NamedTuple):
    """What changed for one model."""

    tags: tuple[str, ...]
    """All its tags now."""
    added: tuple[str, ...]
    removed: tuple[str, ...]


def set_favorite(marks: Marks, models: Named, *, wanted: bool) -> list[str]:
    """Make models favorites, or no longer; the ids of those that changed."""
    changed = []
    for model_id, name in models.items():
        before = marks.marks_of(model_id)
        if before.favorite != wanted:
            changed.append(model_id)
            named = name_of(name) or before.name
            marks.put(model_id, before._replace(name=named, favorite=wanted))
    return changed


def toggle_favorite(marks: Marks, models: Named) -> tuple[bool, int]:
    """Make all models favorites; if they all are, none. Whether they are now, how many changed."""
    wanted = not all(marks.marks_of(model_id).favorite for model_id in models)
    return wanted, len(set_favorite(marks, models, wanted=wanted))


def change_tags(
    marks: Marks, models: Named, *, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> dict[str, TagChange]:
    """Add and remove tags; by the ids of the models.

    A tag that differs only in case from one that is used gets its spelling. Raises UsageError for
    text that is no tag, and where a model would have too many; then nothing is changed.
    """
    known = tag_counts(marks.models)
    wanted = [like(tag, known) or tag for tag in map(tag_of, add)]
    unwanted = {tag_of(tag).casefold() for tag in remove}
    changes: dict[str, TagChange] = {}
    for model_id in models:
        before = marks.marks_of(model_id).tags
        kept = [tag for tag in before if tag.casefold() not in unwanted]
        tags = sorted_tags([*kept, *(tag for tag in wanted if like(tag, kept) is None)])
        if len(tags) > MOST_TAGS:
            raise UsageError(
                f"A model can have {MOST_TAGS} tags, and {models[model_id] or model_id} would"
                f" have {len(tags)}",
                remedy="remove some with `lora-tui tag MODEL TAG --remove`",
            )
        changes[model_id] = TagChange(
            tags,
            tuple(tag for tag in tags if tag not in before),
            tuple(tag for tag in before if tag not in tags),
        )
    for model_id, name in models.items():
        before_marks = marks.marks_of(model_id)
        named = name_of(name) or before_marks.name
        marks.put(model_id, before_marks._replace(name=named, tags=changes[model_id].tags))
    return changes


def set_note(marks: Marks, model_id: str, name: str, text: str) -> str:
    """Write the note of a model, or remove it (an empty text); the note before.

    Raises UsageError where it is too long.
    """
    before = marks.marks_of(model_id)
    named = name_of(name) or before.name
    marks.put(model_id, before._replace(name=named, note=note_of(text)))
    return before.note


def move_alias(
    marks: Marks, alias: str, model_id: str, name: str, now: datetime
) -> AliasMove | None:
    """Let an alias name a model; what it named before, None for nothing.

    `alias` has passed `alias_of`. Nothing changes where it names this model already.
    """
    known = marks.alias_named(alias) or alias
    before = marks.current(known)
    if before is None or before.model_id != model_id:
        _append(marks, known, AliasMove(timestamp_text(now), model_id, name_of(name)))
    return before


def remove_alias(marks: Marks, alias: str, now: datetime) -> AliasMove | None:
    """Let an alias name nothing; its history stays. What it named, None where it was removed.

    Raises NotFoundError where there never was such an alias.
    """
    known = marks.alias_named(alias)
    if known is None:
        raise NotFoundError(f"There is no alias {alias}", remedy="run `lora-tui alias list`")
    before = marks.current(known)
    if before is not None:
        _append(marks, known, AliasMove(timestamp_text(now), ""))
    return before


def _append(marks: Marks, alias: str, move: AliasMove) -> None:
    moves = marks.aliases.get(alias, ())
    last = parse_timestamp(moves[-1].at) if moves else None
    if last is not None and move.at <= moves[-1].at:  # a clock that was set back: the order counts
        move = move._replace(at=timestamp_text(last + timedelta(microseconds=1)))
    marks.aliases[alias] = (*moves, move)[-MOST_MOVES:]
