"""Collects the seeded rows a table and writes them in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lora_tui.sandbox.database import Database
from lora_tui.sandbox.tables import NEW_ID, NOW, TABLES


class Rows:
    """Rows on their way into the database; `flush` writes the last of them."""

    _BATCH: Final = 20_000

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, list[Sequence[Any]]] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._defaults: dict[str, list[Any]] = {}
        for table in TABLES.values():
            self._columns[table.name] = tuple(table.columns)
            self._defaults[table.name] = [
                None if column.default in (NOW, NEW_ID) else column.default
                for column in table.columns.values()
            ]

    def add(self, table: str, **values: Any) -> None:
        """One row of a public table; JSON columns are given as text."""
        names, defaults = self._columns[table], self._defaults[table]
        row = [values.get(name, default) for name, default in zip(names, defaults, strict=True)]
        self.add_ready(table, names, [row])

    def add_ready(
        self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Rows of ready values, by `columns`."""
        self._columns[table] = columns
        waiting = self._waiting.setdefault(table, [])
        waiting.extend(rows)
        if len(waiting) >= self._BATCH:
            self._write(table)

    def flush(self) -> None:
        for table in list(self._waiting):
            self._write(table)

    def _write(self, table: str) -> None:
        self._database.insert_many(table, self._columns[table], self._waiting.pop(table))
