"""Finds the models that match a search and filters, and keeps the result for the connection.

A search goes by an FTS5 index, or by LIKE where the index does not help.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from lora_tui.cache.keyset import keep_matches
from lora_tui.cache.model_query import ModelQuery
from lora_tui.clock import microseconds
from lora_tui.text import terminal_safe

DOWNLOADED_IDS: Final = "SELECT model_id FROM library WHERE intact"
"""SQL: the ids of the models whose files are all on this disk."""
_COLUMNS: Final = ("name", "dataset", "base_model", "description")
"""The columns that are searched."""
_MOST_WORDS: Final = 100
"""The most words of a search; SQLite combines at most 500 SELECTs."""
_LEAST_OF_ID: Final = 4
"""Characters; a shorter word would match the beginning of too many ids."""
_INDEXED: Final = "SELECT rowid FROM models_words WHERE models_words MATCH ?"
_HOLDS: Final = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in _COLUMNS)
_TEXTS: Final = (
    "(SELECT m.n AS rowid, m.name AS name, d.name AS dataset, m.base_model AS base_model,"
    " m.description AS description FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id)"
)
"""The texts that are searched without an index."""
MOST_NAMED: Final = 20
"""So many rows at most are found by the beginning of an id, or by a name."""
_ID_CHARACTERS: Final = frozenset("0123456789abcdef-")


def find_matches(db: sqlite3.Connection, query: ModelQuery) -> int:
    """Fill `temp.matches` (n) with the numbers of the matching models; returns how many match."""
    question = repr(query.unordered)
    return keep_matches(db, "matches", question, lambda: _select(db, query))


_INDEX_WORDS: Final = (
    "INSERT INTO models_words (rowid, name, dataset, base_model, description)"
    " SELECT m.n, m.name, d.name, m.base_model, m.description FROM"
)


def index_words(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Update the index for these models. Call inside the transaction that wrote them."""
    if not has_word_index(db):
        return
    chosen = (
        "models m LEFT JOIN datasets d ON d.id = m.dataset_id"
        " WHERE m.id IN (SELECT value FROM json_each(?))"
    )
    values = [json.dumps(ids)]
    db.execute(
        "DELETE FROM models_words WHERE rowid IN (SELECT m.n FROM models_words w"
        f" JOIN {chosen} AND w.rowid = m.n AND (w.name, w.dataset, w.base_model, w.description)"
        " IS NOT (m.name, d.name, m.base_model, m.description))",
        values,
    )
    missing = "NOT EXISTS (SELECT 1 FROM models_words w WHERE w.rowid = m.n)"
    db.execute(f"{_INDEX_WORDS} {chosen} AND {missing}", values)


def index_new_words(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Add new models, whose numbers follow each other, to the index.

    Faster than `index_words`. Call it after `put_values`, inside the transaction.
    """
    if has_word_index(db) and numbers:
        db.execute(
            f"{_INDEX_WORDS} model_values m LEFT JOIN datasets d ON d.id = m.dataset_id"
            " WHERE m.n BETWEEN ? AND ?",
            [numbers[0], numbers[-1]],
        )


def id_prefix(word: str) -> str | None:
    """The word as the beginning of an id, in the form of the cache; None if it can't be one.

    Accepts UUIDs in braces, without hyphens and in capitals.
    """
    beginning = word.strip().removeprefix("{").removesuffix("}").lower()
    if not beginning or not _ID_CHARACTERS.issuperset(beginning):
        return None
    if "-" in beginning[:9] or len(beginning) < 9:
        return beginning
    digits = beginning.replace("-", "")
    ends = (0, 8, 12, 16, 20, len(digits))
    return "-".join(filter(None, (digits[start:end] for start, end in pairwise(ends))))


def select_numbers(db: sqlite3.Connection, search: str) -> tuple[str, list[object]]:
    """A SELECT, with its values, of the numbers of the models that match; "" for no words.

    A word matches if a word of a text, of a tag, an alias or a note begins with it, ignoring case
    and accents. The index has no words of punctuation alone, so the texts are searched for those. A
    word of four or more hexadecimal digits also matches the beginning of a model's id, in any form.
    """
    words = list(dict.fromkeys(terminal_safe(search).split()))[:_MOST_WORDS]
    if not words:
        return "", []
    if db.execute("SELECT 1 FROM own_marks LIMIT 1").fetchone() is None:
        return _select_texts(db, words)
    from lora_tui.cache.own_marks import select_with_marks  # late: few models are marked

    return select_with_marks(db, words, lambda chosen: _select_texts(db, chosen))


def _select_texts(db: sqlite3.Connection, words: Sequence[str]) -> tuple[str, list[object]]:
    has_index = has_word_index(db)
    indexed = [word for word in words if has_index and _has_letters(word)]
    plain = [word for word in indexed if _beginning_of_searched_id(word) is None]
    selects: list[str] = []
    values: list[object] = []
    if plain:
        selects.append(_INDEXED)
        values.append(" ".join(map(_beginning, plain)))
    for word in words:
        if word in plain:
            continue
        if word in indexed:
            select = _INDEXED
            values.append(_beginning(word))
        else:
            select = f"SELECT rowid FROM {'models_words' if has_index else _TEXTS} WHERE {_HOLDS}"
            values.extend([_anywhere(word)] * len(_COLUMNS))
        beginning = _beginning_of_searched_id(word)
        if beginning is not None:
            select += " UNION SELECT n FROM models WHERE id >= ? AND id < ? || 'g'"
            values.extend([beginning] * 2)
        selects.append(f"SELECT * FROM ({select})")
    return " INTERSECT ".join(selects), values


def has_word_index(db: sqlite3.Connection) -> bool:
    sql = "SELECT 1 FROM main.sqlite_master WHERE name = 'models_words'"
    return db.execute(sql).fetchone() is not None


def _select(db: sqlite3.Connection, query: ModelQuery) -> tuple[str, list[object]]:
    words, word_values = select_numbers(db, query.search)
    filters, filter_values = _filters(query)
    if query.where:
        from lora_tui.cache.conditions import parse  # late: seldom needed

        condition = parse(query.where)
        sql, values = condition.select(), [*condition.values]
        narrower = [(words, word_values)] if words else []
        if filters:
            narrower.append((_filtered(filters), filter_values))
        for select, others in narrower:
            sql, values = f"SELECT n FROM ({sql}) WHERE n IN ({select})", [*values, *others]
        return sql, values
    if not filters:
        return words or "SELECT n FROM models", word_values
    sql = _filtered(filters)
    if words:
        sql += f" AND m.n IN ({words})"
    return f"{sql} ORDER BY m.n", [*filter_values, *word_values]


def _filtered(filters: Sequence[str]) -> str:
    return f"SELECT m.n FROM models m INDEXED BY models_filters WHERE {' AND '.join(filters)}"


def _filters(query: ModelQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if query.convergences:
        marks = ", ".join("?" for _ in query.convergences)
        conditions.append(f"m.convergence IN ({marks})")
        values.extend(sorted(query.convergences))
    if query.min_stars:
        conditions.append("m.stars >= ?")
        values.append(query.min_stars)
    if query.dataset:
        conditions.append(
            "m.dataset_id IN (SELECT id FROM datasets WHERE name = ? UNION ALL SELECT ?)"
        )
        values.extend([query.dataset, query.dataset])
    for column, value in (("preset_id", query.preset), ("base_model", query.base_model)):
        if value:
            conditions.append(f"m.{column} = ?")
            values.append(value)
    if query.created_from:
        conditions.append("m.created_at >= ?")
        values.append(microseconds(query.created_from))
    if query.created_before:
        conditions.append("m.created_at < ? AND m.created_at <> 0")
        values.append(microseconds(query.created_before))
    if query.downloaded is not None:
        conditions.append(
            f"m.n {'' if query.downloaded else 'NOT '}IN"
            f" (SELECT n FROM models WHERE id IN ({DOWNLOADED_IDS}))"
        )
    return conditions, values


def _beginning(word: str) -> str:
    """An FTS5 query for the words that begin with this one."""
    return '"' + word.replace('"', '""') + '"*'


def _anywhere(word: str) -> str:
    """A LIKE pattern for the texts that hold this word."""
    return "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _beginning_of_searched_id(word: str) -> str | None:
    beginning = id_prefix(word)
    return None if beginning is None or len(beginning) < _LEAST_OF_ID else beginning


def _has_letters(word: str) -> bool:
    return any(unicodedata.category(character)[0] in "LN" for character in word)
