"""Finds what a mistyped name or id may mean: the names and ids in the cache that come near it.

Loaded only when nothing has the name that was typed. However many models there are, at most
`MOST_READ` names and as many ids on either side of the typed text are looked at, and only those
that share most pairs of letters with it are compared letter by letter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from heapq import nlargest
from itertools import pairwise
from typing import Final

from lora_tui.cache.closeness import closeness
from lora_tui.cache.search import id_prefix
from lora_tui.text import terminal_safe

MOST_NEAR: Final = 3
"""So many names or ids are told at most."""
MOST_READ: Final = 100_000
_MOST_COMPARED: Final = 200
_LONGEST: Final = 120
"""Characters of a name that are compared."""
_SHOWN: Final = 60
"""Characters of a name that are told."""
_LEAST_NAME: Final = 0.6
_LEAST_WORD: Final = 0.7
"""Of a single word of a tag or a note."""
_LEAST_ID: Final = 0.85
"""One mistake in seven characters; ids are random, so a worse one would be chance."""
_SHORTEST_NAME: Final = 3
_SHORTEST_ID: Final = 6


def nearest_models(
    db: sqlite3.Connection, reference: str, *, most_read: int = MOST_READ
) -> list[str]:
    """The ids of at most three models whose names come near, the nearest first."""
    return [_newest(db, name) for name in _near_names(db, reference, most_read)]


def nearest_marked(db: sqlite3.Connection, typed: str) -> list[str]:
    """The ids of models whose tags, aliases or words of notes come near; the nearest first."""
    by_word: dict[str, list[str]] = {}
    for model_id, words in db.execute("SELECT model_id, words FROM own_marks LIMIT ?", [MOST_READ]):
        for word in words.split():
            by_word.setdefault(word, []).append(str(model_id))
    near = _nearest(typed.casefold(), [(word, word) for word in by_word], _LEAST_WORD)
    return list(dict.fromkeys(model_id for word in near for model_id in by_word[word]))


def nearest_words_of_jobs(db: sqlite3.Connection, typed: str) -> list[str]:
    """At most three datasets, base models, presets or GPUs of jobs that come near."""
    if len(typed) < _SHORTEST_NAME:
        return []
    sql = (
        "SELECT DISTINCT name FROM datasets WHERE id IN (SELECT dataset_id FROM jobs)"
        " UNION SELECT DISTINCT base_model FROM jobs UNION SELECT DISTINCT preset_id FROM jobs"
        " UNION SELECT DISTINCT gpu FROM jobs LIMIT ?"
    )
    texts = [str(row[0]) for row in db.execute(sql, [MOST_READ]) if row[0]]
    folded = [(text[:_LONGEST].casefold(), text) for text in texts]
    return _nearest(typed.casefold()[:_LONGEST], folded, _LEAST_NAME)


def near_models(db: sqlite3.Connection, reference: str) -> list[str]:
    """At most three models that come near: `NAME (start of its id)`, safe for a terminal."""
    names = [
        f"{terminal_safe(name, limit=_SHOWN)} ({_newest(db, name)[:8]})"
        for name in _near_names(db, reference, MOST_READ)
    ]
    ids = [
        f"{model_id[:8]} ({terminal_safe(_name_of(db, model_id), limit=_SHOWN)})"
        for model_id in _near_ids(db, "models", reference)
    ]
    return [*ids, *names][:MOST_NEAR]


def near_jobs(db: sqlite3.Connection, reference: str) -> list[str]:
    """At most three ids of jobs that come near."""
    return [terminal_safe(job, limit=_SHOWN) for job in _near_ids(db, "jobs", reference)]


def nearest_ids(reference: str, ids: Iterable[str]) -> list[str]:
    """At most three of these ids whose beginnings come near, the nearest first."""
    typed = reference.strip().lower()
    if len(typed) < _SHORTEST_ID:
        return []
    return _nearest(typed, [(row_id[: len(typed)], row_id) for row_id in ids], _LEAST_ID)


def _near_names(db: sqlite3.Connection, reference: str, most_read: int) -> list[str]:
    typed = terminal_safe(reference, limit=_LONGEST).casefold()
    if len(typed) < _SHORTEST_NAME:
        return []
    indexed = "SELECT name FROM models INDEXED BY models_name_asc WHERE name COLLATE NOCASE"
    order = "ORDER BY name COLLATE NOCASE"
    names: dict[str, None] = {}
    for sql in (f"{indexed} >= ? {order} LIMIT ?", f"{indexed} < ? {order} DESC LIMIT ?"):
        names.update((str(row[0]), None) for row in db.execute(sql, [reference, most_read]))
    folded = [(name[:_LONGEST].casefold(), name) for name in names]
    return _nearest(typed, folded, _LEAST_NAME)


def _near_ids(db: sqlite3.Connection, table: str, reference: str) -> list[str]:
    typed = id_prefix(reference)
    if typed is None or len(typed) < _SHORTEST_ID:
        return []
    ids: list[str] = []
    for condition in (">= ? ORDER BY id", "< ? ORDER BY id DESC"):
        sql = f"SELECT id FROM {table} WHERE id {condition} LIMIT ?"
        ids += (str(row[0]) for row in db.execute(sql, [typed, MOST_READ]))
    return nearest_ids(typed, ids)


def _nearest(typed: str, choices: Iterable[tuple[str, str]], least: float) -> list[str]:
    """Of pairs (compared text, value) the values of the nearest texts, the best first."""
    pairs = {"".join(pair) for pair in pairwise(typed)}
    likely = nlargest(
        _MOST_COMPARED, choices, key=lambda choice: sum(pair in choice[0] for pair in pairs)
    )
    rated = [(closeness(typed, text), value) for text, value in likely]
    near = nlargest(MOST_NEAR, rated, key=lambda found: found[0])
    return [value for rating, value in near if rating >= least]


def _newest(db: sqlite3.Connection, name: str) -> str:
    """The id of the newest model of this name."""
    sql = (
        "SELECT id FROM models WHERE name = ? COLLATE NOCASE AND name = ?"
        " ORDER BY created_at DESC LIMIT 1"
    )
    found = db.execute(sql, [name, name]).fetchone()
    return str(found[0]) if found else ""


def _name_of(db: sqlite3.Connection, model_id: str) -> str:
    found = db.execute("SELECT name FROM models WHERE id = ?", [model_id]).fetchone()
    return str(found[0]) if found else ""
