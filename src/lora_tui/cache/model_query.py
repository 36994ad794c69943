"""A query for the list of models: its filters and its order."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from lora_tui.cache.keyset import Key, Order


class Sort(StrEnum):
    """The orders that have an index. Models can be sorted by any column (sorted_models.py)."""

    CREATED = "created"
    QUALITY = "quality"
    NAME = "name"
    COST = "cost"
    LOSS = "loss"
    DURATION = "duration"
    SIZE = "size"
    PERPLEXITY = "perplexity"


class ModelQuery(NamedTuple):
    """Filters and an order. `reverse` reverses the natural direction of `sort`."""

    sort: str = Sort.CREATED
    """A `Sort`, or the name of a column that has none: see `sort_of` (model_columns.py)."""
    reverse: bool = False
    search: str = ""
    """Words; each must begin a word of the name, dataset, base model, description, tags, aliases or
    note, or the id."""
    convergences: frozenset[str] = frozenset()
    min_stars: int = 0
    dataset: str = ""
    """A dataset's id or exact name."""
    preset: str = ""
    base_model: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None
    downloaded: bool | None = None
    """Only models whose files are all on this disk (True), only others (False), or all."""
    where: str = ""
    """A condition on columns: `rank >= 16 and best_validation_loss < 1.2` (conditions.py)."""

    @property
    def is_everything(self) -> bool:
        """Whether there are no filters."""
        return self.unfiltered == self

    @property
    def unfiltered(self) -> ModelQuery:
        """The same order without filters."""
        return ModelQuery(sort=self.sort, reverse=self.reverse)

    @property
    def unordered(self) -> ModelQuery:
        """The same filters in the usual order: equal where the same models match."""
        return self._replace(sort=Sort.CREATED, reverse=False)


_KEYS = {
    Sort.CREATED: Key("created_at", descends=True),
    Sort.QUALITY: Key("stars", descends=True, may_be_unknown=True),
    Sort.NAME: Key("name", descends=False, collation="NOCASE"),
    Sort.COST: Key("cost", descends=True, may_be_unknown=True),
    Sort.LOSS: Key("final_loss", descends=False, may_be_unknown=True),
    Sort.DURATION: Key("duration_hours", descends=True, may_be_unknown=True),
    Sort.SIZE: Key("size", descends=True, may_be_unknown=True),
    Sort.PERPLEXITY: Key("perplexity", descends=False, may_be_unknown=True),
}


ORDERS: Final = tuple(Order("models", "n", key, key.descends) for key in _KEYS.values())
"""The natural orders, each of which has an index."""


def is_indexed(sort: str) -> bool:
    """Whether this order has an index; others are sorted when they are wanted."""
    return sort in _KEYS


def natural_direction(sort: str) -> bool:
    """Whether the natural direction of this order is descending. Raises UsageError."""
    if sort in _KEYS:
        return _KEYS[Sort(sort)].descends
    from lora_tui.cache.model_columns import column_of  # late: seldom needed

    return column_of(sort).descends


def order_of(sort: str, *, reverse: bool) -> Order:
    """The order of `models` by a `Sort`; `reverse` reverses its natural direction."""
    key = _KEYS[Sort(sort)]
    return Order("models", "n", key, descends=key.descends is not reverse)
