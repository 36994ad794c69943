"""The sorted and filtered list of models: windows of it, and the position of a model."""

from __future__ import annotations

import sqlite3

from lora_tui.cache.facets import count_all
from lora_tui.cache.keyset import KeysetList
from lora_tui.cache.model_query import ModelQuery, order_of
from lora_tui.cache.search import find_matches


class ModelList(KeysetList):
    """The result of a query: numbers of models (`models.n`) by their position, from 0."""

    def __init__(self, db: sqlite3.Connection, query: ModelQuery) -> None:
        self._query = query
        super().__init__(
            db,
            order_of(query.sort, reverse=query.reverse),
            total=count_all(db) if query.is_everything else find_matches(db, query),
            matches=None if query.is_everything else "temp.matches",
        )

    def window(self, offset: int, limit: int) -> list[int]:
        """The numbers of at most `limit` models from `offset` on."""
        return self.numbers(offset, limit)

    def _refresh_matches(self) -> None:
        if not self._query.is_everything:
            find_matches(self._db, self._query)
