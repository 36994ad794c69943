"""What a seeding starts from: settings (amount, time, ids), accounts, datasets; and its rows."""

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


@dataclass(frozen=True)
class Person:
    """An account that can sign in."""

    id: str
    email: str
    password: str


DEMO: Final = Person(
    "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "demo@lora-tui.example", "make-believe-demo"
)
OTHER: Final = Person(
    "a3d90f64-1b58-5e2c-8f77-64c2be1908d5", "other@lora-tui.example", "make-believe-other"
)


@dataclass(frozen=True)
class DatasetText:
    """A dataset that somebody would fine-tune on."""

    name: str
    description: str
    training_pairs: int


DATASETS: Final = (
    DatasetText("Customer Support Emails", "Tier-1 replies with resolution notes", 18_420),
    DatasetText("SQL Assistant", "Question to query, three dialects", 42_910),
    DatasetText("Radiology Reports", "Findings to impressions, de-identified", 9_730),
    DatasetText("Legal Clause Review", "Risk labels with reasons for contract clauses", 6_215),
    DatasetText("Python Code Review", "Diffs with review comments", 27_344),
    DatasetText("Product Descriptions", "Attributes to catalogue copy, five languages", 51_008),
    DatasetText("Meeting Minutes", "Transcripts to decisions and actions", 12_560),
    DatasetText("Incident Postmortems", "Timelines to causes and remedies", 3_182),
)

OTHER_DATASET: Final = DatasetText("Field Service Notes", "Another account's dataset", 2_048)
