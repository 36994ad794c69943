"""The copy of one's own marks in the cache, for lists, searches and names: see `marks/copy.py`.

Loaded only where there are marks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from lora_tui.cache.changes import Topic, publish
from lora_tui.cache.metadata import MARKS_STAMP, get_value, put_value
from lora_tui.domain.own_marks import AliasMove, Marks, ModelMarks, like, words_of
from lora_tui.json_values import json_text, parse_json

_ALIASES: Final = "marks.aliases"
"""The fact with the history of all aliases, as JSON: {alias: [[at, model id, name], …]}."""
_MOST_GROUPS: Final = 8
"""So many sets of words, which marks don't have, are looked for in names at most."""
_NAMES: Final = "model_id, favorite, tags, note, aliases, words"


class ShownMarks(NamedTuple):
    """The marks of a model, with the aliases that name it now."""

    favorite: bool = False
    tags: tuple[str, ...] = ()
    note: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return self == ShownMarks()


NO_MARKS: Final = ShownMarks()


def get_marks(db: sqlite3.Connection, model_id: str) -> ShownMarks:
    """The marks of a model, which may be none."""
    sql = "SELECT favorite, tags, note, aliases FROM own_marks WHERE model_id = ?"
    found = db.execute(sql, [model_id]).fetchone()
    if found is None:
        return NO_MARKS
    favorite, tags, note, aliases = found
    return ShownMarks(bool(favorite), tuple(tags.split()), note or "", tuple(aliases.split()))


def put_marks(db: sqlite3.Connection, marks: Marks, stamp: str) -> bool:
    """Make the copy the same as `marks`; whether it was another one.

    `stamp` is that of the file. Call inside a transaction: it publishes the topic itself.
    """
    wanted = {row[0]: row for row in _rows(marks)}
    found = {row[0]: tuple(row) for row in db.execute(f"SELECT {_NAMES} FROM own_marks")}
    gone = [(key,) for key in found if key not in wanted]
    changed = [row for key, row in wanted.items() if found.get(key) != row]
    histories = json_text(marks.aliases) if marks.aliases else None
    is_new = bool(gone or changed) or histories != get_value(db, _ALIASES)
    db.executemany("DELETE FROM own_marks WHERE model_id = ?", gone)
    db.executemany(
        f"INSERT OR REPLACE INTO own_marks ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?)", changed
    )
    put_value(db, _ALIASES, histories)
    put_value(db, MARKS_STAMP, stamp or None)
    if is_new:
        publish(db, [Topic.MARKS])
    return is_new


def alias_histories(db: sqlite3.Connection) -> dict[str, tuple[AliasMove, ...]]:
    """The history of each alias, the oldest move first."""
    text = get_value(db, _ALIASES)
    if text is None:
        return {}
    return {
        alias: tuple(AliasMove(*move) for move in moves)
        for alias, moves in parse_json(text).items()
    }


def history_of(db: sqlite3.Connection, alias: str) -> tuple[str, tuple[AliasMove, ...]] | None:
    """An alias as it is spelled, and its history; None where there never was one."""
    histories = alias_histories(db)
    spelled = like(alias, histories)
    return None if spelled is None else (spelled, histories[spelled])


def model_of_alias(db: sqlite3.Connection, alias: str) -> str | None:
    """The id of the model that an alias names now; None where there is no such alias."""
    found = history_of(db, alias)
    return found[1][-1].model_id or None if found else None


def tags_in_use(db: sqlite3.Connection) -> list[str]:
    """The tags of all models, those that most models have first."""
    counts: dict[str, int] = {}
    for (tags,) in db.execute("SELECT tags FROM own_marks WHERE tags <> ''"):
        for tag in tags.split():
            counts[tag] = counts.get(tag, 0) + 1
    return sorted(counts, key=lambda tag: (-counts[tag], tag.casefold()))


def select_with_marks(
    db: sqlite3.Connection,
    words: Sequence[str],
    select: Callable[[Sequence[str]], tuple[str, list[object]]],
) -> tuple[str, list[object]]:
    """A SELECT of the numbers of the models that have all words in their texts or their marks.

    `select` makes the one for their texts alone. A word that the marks of a model begin with need
    not be in its texts. Few models are marked, so their words are compared one by one.
    """
    sql, values = select(words)
    folded = {word: words_of(word)[:-1] for word in words}
    searched = [text for text in folded.values() if text]
    if not searched:
        return sql, values
    holds = " OR ".join("k.words LIKE ?" for _ in searched)
    candidates = db.execute(
        "SELECT m.n, k.words FROM own_marks k CROSS JOIN models m ON m.id = k.model_id"
        f" WHERE {holds}",
        [f"%{text}%" for text in searched],
    )
    lacking: dict[tuple[str, ...], list[int]] = {}
    for number, marked in candidates:
        missing = tuple(word for word, text in folded.items() if not text or text not in marked)
        lacking.setdefault(missing, []).append(number)
    parts = [f"SELECT * FROM ({sql})"]
    for missing, numbers in list(lacking.items())[:_MOST_GROUPS]:
        if missing:
            inner, inner_values = select(missing)
            among = f"SELECT * FROM ({inner}) INTERSECT SELECT value FROM json_each(?)"
            parts.append(f"SELECT * FROM ({among})")
            values = [*values, *inner_values, json.dumps(numbers)]
        else:
            parts.append("SELECT value FROM json_each(?)")
            values = [*values, json.dumps(numbers)]
    return " UNION ".join(parts), values


def _rows(marks: Marks) -> list[tuple[object, ...]]:
    """A row for each model that has marks or an alias."""
    aliases: dict[str, list[str]] = {}
    for alias in sorted(marks.aliases):
        move = marks.current(alias)
        if move is not None:
            aliases.setdefault(move.model_id, []).append(alias)
    rows: list[tuple[object, ...]] = []
    for model_id in sorted({*marks.models, *aliases}):
        own: ModelMarks = marks.marks_of(model_id)
        named = aliases.get(model_id, [])
        words = words_of(*own.tags, *named, own.note)
        rows.append(
            (model_id, int(own.favorite), _spaced(own.tags), own.note or None, _spaced(named),
             words)
        )  # fmt: skip
    return rows


def _spaced(words: Sequence[str]) -> str:
    """` a b `, as `Kind.TAGS` of model_columns.py has it."""
    return f" {' '.join(words)} " if words else ""
