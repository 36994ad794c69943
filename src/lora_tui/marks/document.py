"""The text of the marks file: JSON that is easy to read and to compare, and that may be hostile.

Each tag, each line of a note and each move of an alias has a line of its own, in a stable order, so
that a change is a small difference in git.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain.own_marks import (
    MOST_MOVES,
    MOST_TAGS,
    AliasMove,
    Marks,
    ModelMarks,
    alias_of,
    name_of,
    note_of,
    sorted_tags,
    tag_of,
)
from lora_tui.errors import IntegrityError, UsageError
from lora_tui.formats import counted
from lora_tui.json_values import identifier, json_text, parse_json
from lora_tui.text import terminal_safe

VERSION: Final = 1
"""Of the format. A file of a higher one is refused."""
_VERSION_KEY: Final = "lora_tui_marks"
MOST_BYTES: Final = 32 << 20
"""Of the file; a hundred thousand marked models have fewer."""
_DOCUMENT_KEYS: Final = frozenset({_VERSION_KEY, "models", "aliases"})
_MODEL_KEYS: Final = frozenset({"name", "favorite", "tags", "note"})
_MOVE_KEYS: Final = frozenset({"at", "model", "name"})
_MOST_TOLD: Final = 3


class DamagedMarksError(IntegrityError):
    """The text is no marks file; the details say why."""

    default_remedy = "name a file that `lora-tui marks export` wrote"


class Parsed(NamedTuple):
    """The marks of a text, and what could not be taken from it."""

    marks: Marks
    left_out: tuple[str, ...] = ()
    """A few words for each value that breaks a rule: `tag 'a b'`."""

    @property
    def left_out_sentence(self) -> str | None:
        """What was left out, in one sentence; None where nothing was."""
        if not self.left_out:
            return None
        more = len(self.left_out) - _MOST_TOLD
        told = ", ".join(self.left_out[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
        return f"{counted(len(self.left_out), 'value')} of the marks can't be used: {told}"


def marks_text(marks: Marks) -> str:
    """The text of the file. Raises UsageError where it would be too large."""
    document = {
        _VERSION_KEY: VERSION,
        "models": {key: _model_document(marks.models[key]) for key in sorted(marks.models)},
        "aliases": {
            alias: [
                {"at": move.at, "model": move.model_id or None, "name": move.name}
                if move.model_id
                else {"at": move.at, "model": None}
                for move in marks.aliases[alias]
            ]
            for alias in sorted(marks.aliases)
        },
    }
    text = json_text(document, indent=1, ascii_only=False) + "\n"
    if len(text) > MOST_BYTES:
        raise UsageError(
            f"The marks would take more than {MOST_BYTES >> 20} MB",
            remedy="remove notes that you no longer need",
        )
    return text


def parse_marks(content: bytes) -> Parsed:
    """The marks in a text of anybody's.

    Raises DamagedMarksError, and UsageError for a text of a newer version or with the signs that
    git leaves where two versions could not be merged.
    """
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"The marks file has more than {MOST_BYTES >> 20} MB",
            remedy="shorten notes in it, or name a file that `lora-tui marks export` wrote",
        )
    try:
        document = parse_json(content, join_repeated=True)
    except (ValueError, RecursionError):
        if _has_conflict(content):
            raise UsageError(
                "The marks file has a merge conflict of git",
                remedy="resolve it: keep valid JSON, and `git add` the file",
            ) from None
        raise DamagedMarksError("This is no marks file", details="it is not JSON") from None
    if not isinstance(document, dict):
        raise DamagedMarksError("This is no marks file", details="it is not a JSON object")
    version = document.get(_VERSION_KEY)
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise UsageError(
            f"The marks file was written by a newer lora-tui (version {version} of the format)",
            remedy="update lora-tui; nothing was changed",
        )
    if version != VERSION or isinstance(version, bool):
        raise DamagedMarksError("This is no marks file", details=f"it has no {_VERSION_KEY!r}")
    left_out: list[str] = []
    _tell_unknown(document, _DOCUMENT_KEYS, "", left_out)
    return Parsed(
        Marks(
            _models(document.get("models"), left_out), _aliases(document.get("aliases"), left_out)
        ),
        tuple(left_out),
    )


def _model_document(marks: ModelMarks) -> dict[str, Any]:
    document: dict[str, Any] = {"name": marks.name}
    if marks.favorite:
        document["favorite"] = True
    if marks.tags:
        document["tags"] = list(marks.tags)
    if marks.note:
        document["note"] = marks.note.split("\n")
    return document


def _models(value: object, left_out: list[str]) -> dict[str, ModelMarks]:
    models: dict[str, ModelMarks] = {}
    for key, entry in _items(value, "models", left_out):
        if not isinstance(entry, dict) or identifier(key) != key:
            left_out.append(f"model {_shown(key)}")
            continue
        _tell_unknown(entry, _MODEL_KEYS, f" of {_shown(key)}", left_out)
        if not isinstance(entry.get("favorite", False), bool):
            left_out.append(f"favorite of {_shown(key)}")
        tags = _tags(entry.get("tags"), left_out)
        marks = ModelMarks(
            name_of(entry.get("name")),
            entry.get("favorite") is True,
            sorted_tags(tags)[:MOST_TAGS],
            _note(entry.get("note"), left_out),
        )
        if len(sorted_tags(tags)) > MOST_TAGS:
            left_out.append(f"more than {MOST_TAGS} tags of {_shown(key)}")
        if not marks.is_empty:
            models[key] = marks
    return models


def _tags(value: object, left_out: list[str]) -> list[str]:
    found = []
    for tag in _list(value, "tags", left_out):
        word = _checked(tag, tag_of)
        if word is None:
            left_out.append(f"tag {_shown(tag)}")
        else:
            found.append(word)
    return found


def _note(value: object, left_out: list[str]) -> str:
    """A note, written as a list of lines or as one text."""
    if value is None:
        return ""
    lines = [value] if isinstance(value, str) else value
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        note = _checked("\n".join(lines), note_of)
        if note is not None:
            return note
    left_out.append("a note")
    return ""


def _aliases(value: object, left_out: list[str]) -> dict[str, tuple[AliasMove, ...]]:
    aliases: dict[str, tuple[AliasMove, ...]] = {}
    seen: set[str] = set()
    for key, entry in _items(value, "aliases", left_out):
        alias = _checked(key, alias_of)
        if alias is None or alias != key or alias.casefold() in seen:
            left_out.append(f"alias {_shown(key)}")
            continue
        moves = [
            move
            for step in _list(entry, f"moves of alias {alias}", left_out)
            if (move := _move(step, alias, left_out)) is not None
        ]
        if moves:
            seen.add(alias.casefold())
            once = dict.fromkeys(moves)  # both sides of a merge may have them
            aliases[alias] = tuple(sorted(once, key=lambda move: move.at)[-MOST_MOVES:])
    return aliases


def _move(step: object, alias: str, left_out: list[str]) -> AliasMove | None:
    at = parse_timestamp(step.get("at")) if isinstance(step, dict) else None
    if not isinstance(step, dict) or at is None:
        left_out.append(f"a move of alias {alias}")
        return None
    _tell_unknown(step, _MOVE_KEYS, f" of a move of alias {alias}", left_out)
    model = step.get("model")
    if model is None:
        return AliasMove(timestamp_text(at), "")
    if not isinstance(model, str) or not model or identifier(model) != model:
        left_out.append(f"a move of alias {alias}")
        return None
    return AliasMove(timestamp_text(at), model, name_of(step.get("name")))


def _tell_unknown(
    entry: dict[str, Any], known: frozenset[str], where: str, left_out: list[str]
) -> None:
    """What somebody added by hand would be lost with the next change: it is told like the rest."""
    left_out += [f"{_shown(key)}{where}" for key in entry if key not in known]


def _items(value: object, what: str, left_out: list[str]) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if value is not None:
        left_out.append(what)
    return []


def _list(value: object, what: str, left_out: list[str]) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is not None:
        left_out.append(what)
    return []


def _checked(value: object, check: Callable[[str], str]) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return check(value)
    except UsageError:
        return None


def _shown(value: object) -> str:
    return repr(terminal_safe(value, limit=40))


def _has_conflict(content: bytes) -> bool:
    return content.startswith(b"<<<<<<< ") or b"\n<<<<<<< " in content
