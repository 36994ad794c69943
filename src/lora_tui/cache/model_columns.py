"""The columns of models: everything that a list, a condition, an order, a chart or SQL can name.

Each column is a row of `MODEL_COLUMNS`; what is read from it is the same in `lora-tui list
--columns`, `--where`, `--sort`, CSV, JSON, `lora-tui effect` and the view `models` of `lora-tui
sql`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from lora_tui.cache.model_list import ModelList
from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.errors import UsageError


class Kind(Enum):
    """What the values of a column are; None is an unknown value in all of them."""

    TEXT = "text"
    NUMBER = "number"
    WHOLE = "whole number"
    MONEY = "US dollars"
    SIZE = "bytes"
    HOURS = "hours"
    MOMENT = "date"
    """Microseconds since 1970 in SQL; 0 is unknown."""
    YES_NO = "yes or no"
    """1 or 0 in SQL."""
    STARS = "stars"
    TAGS = "tags"
    """Words with a space before and after each: ` a b `; empty where there are none."""

    @property
    def is_number(self) -> bool:
        """Whether values can be drawn on an axis."""
        return self not in (Kind.TEXT, Kind.TAGS, Kind.YES_NO)


class ModelColumn(NamedTuple):
    """One column."""

    name: str
    """What it is called in options, conditions, CSV, JSON and SQL."""
    title: str
    """The heading of a table."""
    meaning: str
    """One line for `--columns help` and the documentation."""
    kind: Kind
    sql: str
    """Over `FROM_MODELS`."""
    better: int = 0
    """1 where a higher value is better, -1 where a lower one is, else 0."""
    broken_last: bool = False
    """Whether an order by it puts models of runs that broke down last, as nobody ranks them."""

    @property
    def descends(self) -> bool:
        """Whether the natural direction of an order by it is descending."""
        if self.better:
            return self.better > 0
        return self.kind not in (Kind.TEXT, Kind.TAGS)


_JOINS: Final = {
    "l": "models l ON l.n = v.n",
    "d": "datasets d ON d.id = v.dataset_id",
    "k": "own_marks k ON k.model_id = v.id",
    "s": "served s ON s.model_id = v.id",
}
FROM_MODELS: Final = " LEFT JOIN ".join(("model_values v", *_JOINS.values()))
"""The tables of every column's SQL. `tables_of` names no more of them than are needed.

`v` has all that is in `l` but the backend's row, and is much faster to read.
"""


def tables_of(sql: str) -> str:
    """The tables for SQL that is made of columns' SQL: `model_values v`, then joins."""
    joins = [join for alias, join in _JOINS.items() if re.search(rf"\b{alias}\.", sql)]
    return " LEFT JOIN ".join(("model_values v", *joins))


MODEL_COLUMNS: Final = (
    ModelColumn("id", "Id", "id of the model", Kind.TEXT, "v.id"),
    ModelColumn("name", "Name", "name of the model", Kind.TEXT, "v.name"),
    ModelColumn("version", "Version", "version in the project", Kind.TEXT, "v.version"),
    ModelColumn("description", "Description", "description in the project", Kind.TEXT,
                "v.description"),
    ModelColumn("status", "Status", "stored, deployed or archived", Kind.TEXT, "v.status"),
    ModelColumn("dataset", "Dataset", "name of the dataset", Kind.TEXT, "d.name"),
    ModelColumn("base_model", "Base model", "model that the adapter is for", Kind.TEXT,
                "v.base_model"),
    ModelColumn("preset", "Preset", "preset of the training job", Kind.TEXT, "v.preset_id"),
    ModelColumn("gpu", "GPU", "type of the GPUs of the run", Kind.TEXT, "v.gpu"),
    ModelColumn("stars", "Rating", "stored rating, 1 to 5 stars", Kind.STARS, "v.stars", 1),
    ModelColumn("convergence", "Convergence", "stored judgement of the run", Kind.TEXT,
                "v.convergence"),
    ModelColumn("suggested_stars", "Suggested", "rating that the second opinion suggests",
                Kind.STARS, "v.suggested_stars", 1),
    ModelColumn("final_loss", "Loss", "final training loss", Kind.NUMBER, "v.final_loss", -1),
    ModelColumn("last_validation_loss", "Val. loss", "last recorded validation loss",
                Kind.NUMBER, "v.last_validation", -1, broken_last=True),
    ModelColumn("last_validation_step", "Val. step", "step of the last recorded validation loss",
                Kind.NUMBER, "v.last_validation_step"),
    ModelColumn("best_validation_loss", "Best val.", "lowest validation loss of the run",
                Kind.NUMBER, "v.best_validation", -1, broken_last=True),
    ModelColumn("best_validation_step", "Best step", "step of the lowest validation loss",
                Kind.NUMBER, "v.best_validation_step"),
    ModelColumn("validation_gap", "Gap", "last validation minus final training loss",
                Kind.NUMBER, "v.last_validation - v.final_loss", broken_last=True),
    ModelColumn("perplexity", "Perpl.", "perplexity", Kind.NUMBER, "v.perplexity", -1),
    ModelColumn("rank", "Rank", "rank of the adapter", Kind.WHOLE, "v.rank"),
    ModelColumn("alpha", "Alpha", "alpha of the adapter", Kind.NUMBER, "v.alpha"),
    ModelColumn("learning_rate", "Learn. rate", "learning rate", Kind.NUMBER, "v.learning_rate"),
    ModelColumn("batch_size", "Batch", "batch size", Kind.WHOLE, "v.batch_size"),
    ModelColumn("epochs", "Epochs", "number of epochs", Kind.NUMBER, "v.epochs"),
    ModelColumn("effective_rank", "Eff. rank", "median effective rank of the modules",
                Kind.NUMBER, "v.effective_rank"),
    ModelColumn("cost", "Cost", "cost of the run", Kind.MONEY, "v.cost", -1),
    ModelColumn("duration_hours", "Hours", "training time", Kind.HOURS, "v.duration_hours", -1),
    ModelColumn("size", "Size", "size of all files", Kind.SIZE, "v.size"),
    ModelColumn("created_at", "Created", "when the model was stored", Kind.MOMENT, "v.created_at"),
    ModelColumn("downloaded", "On disk", "whether all files are on this disk", Kind.YES_NO,
                "EXISTS (SELECT 1 FROM library b WHERE b.model_id = v.id AND b.intact)"),
    ModelColumn("on", "On", "servers that have it loaded", Kind.TAGS, "s.servers"),
    ModelColumn("favorite", "Favorite", "whether it is one of your favorites", Kind.YES_NO,
                "ifnull(k.favorite, 0)"),
    ModelColumn("tags", "Tags", "your tags", Kind.TAGS, "k.tags"),
    ModelColumn("note", "Note", "your note", Kind.TEXT, "k.note"),
    ModelColumn("aliases", "Aliases", "your aliases", Kind.TAGS, "k.aliases"),
)  # fmt: skip
"""All columns, in the order of `--columns help`."""
LOSSES: Final = frozenset(
    {"final_loss", "last_validation_loss", "best_validation_loss", "validation_gap"}
)
"""The columns of losses, which are written with four decimals."""
_BY_NAME: Final = {column.name: column for column in MODEL_COLUMNS}
SYNONYMS: Final = {
    "created": "created_at",
    "quality": "stars",
    "rating": "stars",
    "loss": "final_loss",
    "training_loss": "final_loss",
    "duration": "duration_hours",
    "hours": "duration_hours",
    "preset_id": "preset",
    "loaded_on": "on",
}
"""Other names that are understood."""


def column_of(name: str) -> ModelColumn:
    """The column with this name, ignoring case.

    Raises UsageError, which names the columns that come near.
    """
    typed = name.strip().lower().replace("-", "_")
    column = _BY_NAME.get(SYNONYMS.get(typed, typed))
    if column is None:
        from lora_tui.cache.closeness import nearest

        near = nearest(typed, [*_BY_NAME, *SYNONYMS])
        remedy = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"There is no column {name!r}",
            remedy=f"{remedy}`lora-tui list --columns help` lists all",
        )
    return column


def sort_of(name: str) -> str:
    """What `ModelQuery.sort` is for an order by this column, or with the name of a `Sort`.

    Raises UsageError, which names the columns that come near.
    """
    typed = name.strip().lower()
    if typed in _SORTS:
        return typed
    column = column_of(name).name
    return _INDEXED.get(column, column)


_SORTS: Final = frozenset(sort.value for sort in Sort)
_INDEXED: Final = {
    "created_at": Sort.CREATED,
    "stars": Sort.QUALITY,
    "final_loss": Sort.LOSS,
    "duration_hours": Sort.DURATION,
}
"""Columns whose order has an index and another name."""
_AT_ONCE: Final = 10_000


def values_of(
    db: sqlite3.Connection,
    columns: Sequence[ModelColumn],
    query: ModelQuery,
    *,
    offset: int = 0,
    limit: int | None = None,
) -> list[tuple[Any, ...]]:
    """Of the models that match, in their order: the id, then a value for each column.

    Values are as SQL has them: see `Kind`.
    """
    found = ModelList(db, query)
    numbers = found.window(offset, found.total if limit is None else limit)
    chosen = ", ".join(("v.n", "v.id", *(column.sql for column in columns)))
    tables = tables_of(chosen).replace("model_values v", _CHOSEN, 1)
    sql = f"SELECT {chosen} FROM {tables}"
    values: list[tuple[Any, ...]] = []
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        rows = {row[0]: row[1:] for row in db.execute(sql, [json.dumps(some)])}
        values += [rows[n] for n in some if n in rows]
    return values


def values_by_number(
    db: sqlite3.Connection, numbers: Sequence[int], names: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Number of a model → name of a column → its value, as SQL has it."""
    chosen = ", ".join(("v.n", *(column_of(name).sql for name in names)))
    tables = tables_of(chosen).replace("model_values v", _CHOSEN, 1)
    rows = db.execute(f"SELECT {chosen} FROM {tables}", [json.dumps(numbers)])
    return {row[0]: dict(zip(names, tuple(row)[1:], strict=True)) for row in rows}


_CHOSEN: Final = "json_each(?) x CROSS JOIN model_values v ON v.n = x.value"
