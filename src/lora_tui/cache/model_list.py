"""The sorted and filtered list of models: windows of it, and the position of a model."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from lora_tui.cache.facets import count_all
from lora_tui.cache.keyset import KeysetList
from lora_tui.cache.model_query import ModelQuery, is_indexed, order_of
from lora_tui.cache.search import find_matches

if TYPE_CHECKING:
    from lora_tui.cache.sorted_models import SortedModels


class ModelList:
    """The result of a query: numbers of models (`models.n`) by their position, from 0.

    An order that has an index is read from it. Any other is sorted when it is first read, which
    takes 0.7 s for a million models: a screen asks `needs_sorting` first (sorted_models.py).
    """

    def __init__(
        self, db: sqlite3.Connection, query: ModelQuery, found: SortedModels | None = None
    ) -> None:
        """`found`: what `sort_models` found for this query, maybe with another connection."""
        self._db, self._query, self._found = db, query, found
        self._indexed: _IndexedList | None = None
        if found is not None:
            self.total = len(found.numbers)
        else:
            self.total = count_all(db) if query.is_everything else find_matches(db, query)
            if is_indexed(query.sort):
                self._indexed = _IndexedList(db, query, self.total)

    def window(self, offset: int, limit: int) -> list[int]:
        """The numbers of at most `limit` models from `offset` on."""
        if self._indexed is not None:
            return self._indexed.numbers(offset, limit)
        return self._sorted().numbers[offset : offset + max(0, limit)].tolist()

    def position(self, model_id: str) -> int | None:
        """The position of the model with this id; None if it is not in the list."""
        if self._indexed is not None:
            return self._indexed.position(model_id)
        row = self._db.execute("SELECT n FROM models WHERE id = ?", [model_id]).fetchone()
        try:
            return None if row is None else self._sorted().numbers.index(row[0])
        except ValueError:
            return None

    def _sorted(self) -> SortedModels:
        if self._found is None:
            from lora_tui.cache.sorted_models import sort_models  # late: seldom needed

            self._found = sort_models(self._db, self._query)
        return self._found


class _IndexedList(KeysetList):
    """The list in an order that has an index."""

    def __init__(self, db: sqlite3.Connection, query: ModelQuery, total: int) -> None:
        self._query = query
        super().__init__(
            db,
            order_of(query.sort, reverse=query.reverse),
            total=total,
            matches=None if query.is_everything else "temp.matches",
        )

    def _refresh_matches(self) -> None:
        if not self._query.is_everything:
            find_matches(self._db, self._query)
