"""Reads windows of the sorted list of models, and finds the position of a model in it.

A window is sought from the edge of one that was read before (keyset), so scrolling costs the same
anywhere in the list; a jump counts rows from the nearer end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from lora_tui.cache.facets import count_all
from lora_tui.cache.model_query import (
    ModelQuery,
    Range,
    index_of,
    key_columns,
    order_by,
    ranges,
)
from lora_tui.cache.search import find_matches

FEW_MATCHES: Final = 1_000
"""Up to this number matches are sorted; more are read in the order of the index."""
MOST_COUNTED: Final = 1_000
"""Up to this number of rows counting costs no more than seeking."""

Keys = Mapping[str, object]


class ModelList:
    """The result of a query: numbers of models (`models.n`) by their position, from 0.

    `total` is counted once; make a new list when the cache has changed.
    """

    def __init__(self, db: sqlite3.Connection, query: ModelQuery) -> None:
        self._db = db
        self._query = query
        self.total = self._count()
        self._starts: dict[int, Keys] = {}
        self._ends: dict[int, Keys] = {}

    def window(self, offset: int, limit: int) -> list[int]:
        """The numbers of at most `limit` models from `offset` on."""
        limit = min(limit, self.total - offset)
        if limit <= 0:
            return []
        self._refresh_matches()
        end = offset + limit
        behind = self.total - end
        if min(offset, behind) <= MOST_COUNTED:
            rows = self._count_to(offset, limit, backwards=behind < offset)
        elif offset in self._ends:
            rows = self._seek(self._ends[offset], limit, after=True)
        elif end in self._starts:
            rows = self._seek(self._starts[end], limit, after=False)
        else:
            rows = self._count_to(offset, limit, backwards=behind < offset)
        if len(rows) == limit:
            self._starts[offset], self._ends[end] = rows[0], rows[-1]
        return [int(str(row["n"])) for row in rows]

    def position(self, model_id: str) -> int | None:
        """The position of a model; None if it is not in the list."""
        self._refresh_matches()
        sql = f"SELECT {key_columns(self._query.sort)} FROM models m WHERE m.id = ?"
        row = self._db.execute(sql, [model_id]).fetchone()
        if row is None or not self._is_matched(row["n"]):
            return None
        position = 0
        for part in self._ranges(dict(row), after=False):
            sql = f"SELECT count(*) FROM {self._source} WHERE {part.condition}"
            position += self._db.execute(sql, part.values).fetchone()[0]
        return position

    def _count(self) -> int:
        if not self._query.is_everything:
            return find_matches(self._db, self._query)
        return count_all(self._db)

    def _refresh_matches(self) -> None:
        """Find the matches again if another list has used the table of matches."""
        if not self._query.is_everything:
            find_matches(self._db, self._query)

    def _is_matched(self, n: int) -> bool:
        if self._query.is_everything:
            return True
        sql = "SELECT 1 FROM temp.matches WHERE n = ?"
        return self._db.execute(sql, [n]).fetchone() is not None

    @property
    def _source(self) -> str:
        index = index_of(self._query.sort, reverse=self._query.reverse)
        if self._query.is_everything:
            return f"models m INDEXED BY {index}"
        if self.total <= FEW_MATCHES:
            return "temp.matches x CROSS JOIN models m ON m.n = x.n"
        return f"models m INDEXED BY {index} CROSS JOIN temp.matches x ON x.n = m.n"

    def _ranges(self, row: Keys, *, after: bool) -> list[Range]:
        query = self._query
        return ranges(query.sort, reverse=query.reverse, row=row, after=after)

    def _count_to(self, offset: int, limit: int, *, backwards: bool) -> list[Keys]:
        steps = self.total - offset - limit if backwards else offset
        rows = self._read(None, limit, steps, backwards=backwards)
        return rows[::-1] if backwards else rows

    def _seek(self, edge: Keys, limit: int, *, after: bool) -> list[Keys]:
        rows: list[Keys] = []
        for part in self._ranges(edge, after=after):
            if len(rows) < limit:
                rows += self._read(part, limit - len(rows), 0, backwards=not after)
        return rows if after else rows[::-1]

    def _read(self, part: Range | None, limit: int, steps: int, *, backwards: bool) -> list[Keys]:
        query = self._query
        fixed = part.fixed if part else 0
        order = order_by(query.sort, reverse=query.reverse, backwards=backwards, fixed=fixed)
        where = f"WHERE {part.condition}" if part else ""
        sql = f"SELECT {key_columns(query.sort)} FROM {self._source} {where} {order}"
        values = part.values if part else ()
        found = self._db.execute(f"{sql} LIMIT ? OFFSET ?", [*values, limit, steps])
        return [dict(row) for row in found]
