"""The settings of a seeding (amount, time, ids), and a collector of its rows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lora_tui.sandbox.database import Database
from lora_tui.sandbox.postgrest.tables import NEW_ID, NOW, TABLES

DAYS: Final = 120
"""Days over which the models are spread."""
_NAMESPACE: Final = uuid.UUID("0d6c6b1e-5c55-5a0e-8d1c-6d3a4b7f9e20")


@dataclass(frozen=True)
class SeedSettings:
    """What to generate for the demo account; no rows at all if both counts are 0."""

    models: int
    waiting_jobs: int
    hostile: bool
    """Whether names, paths and JSON of some models are hostile."""


@dataclass(frozen=True)
class Seeding:
    """The seeding of one sandbox."""

    rows: Rows
    seed: int
    now: datetime
    settings: SeedSettings

    @property
    def many(self) -> bool:
        """Whether curves and files are left out for most models."""
        return self.settings.models > 1000

    def id(self, *key: object) -> str:
        """An id that depends on the seed and the key alone."""
        return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, (self.seed, *key)))))

    def random(self, *key: object) -> random.Random:
        """A random generator that depends on the seed and the key alone."""
        return random.Random("/".join(map(str, (self.seed, *key))))


class Rows:
    """Collects rows and writes them in batches; `flush` writes the last one."""

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
