"""A query for the list of models: its filters, and its order as SQL that an index serves.

In every order unknown values come last in both directions, then the newest first, then the order of
arrival. Each order has an index of exactly these terms (schema.py), so a window of the list costs
its own rows and not those of the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Sort(StrEnum):
    """What the list can be sorted by."""

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

    sort: Sort = Sort.CREATED
    reverse: bool = False
    search: str = ""
    """Words; each must begin a word of the name, dataset, base model or description, or the id."""
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

    @property
    def is_everything(self) -> bool:
        """Whether there are no filters."""
        return self.unfiltered == self

    @property
    def unfiltered(self) -> ModelQuery:
        """The same order without filters."""
        return ModelQuery(sort=self.sort, reverse=self.reverse)


_KEYS = {
    # column, whether its natural direction is descending, whether it may be NULL, collation
    Sort.CREATED: ("created_at", True, False, ""),
    Sort.QUALITY: ("stars", True, True, ""),
    Sort.NAME: ("name", False, False, " COLLATE NOCASE"),
    Sort.COST: ("cost", True, True, ""),
    Sort.LOSS: ("final_loss", False, True, ""),
    Sort.DURATION: ("duration_hours", True, True, ""),
    Sort.SIZE: ("size", True, True, ""),
    Sort.PERPLEXITY: ("perplexity", False, True, ""),
}


def column_of(sort: Sort) -> str:
    """The column of `models` that is sorted by."""
    return _KEYS[sort][0]


def natural_direction(sort: Sort) -> bool:
    """Whether the natural direction of this order is descending."""
    return _KEYS[sort][1]


def terms(sort: Sort, *, reverse: bool) -> list[tuple[str, str, bool]]:
    """The terms of the order as (column, SQL expression, descending); the last one is unique.

    The column is "" for the term that puts NULL last.
    """
    column, descends, may_be_unknown, collation = _KEYS[sort]
    order = [(column, f"m.{column}{collation}", descends is not reverse)]
    if may_be_unknown:
        order.insert(0, ("", f"m.{column} IS NULL", False))
    if sort is not Sort.CREATED:
        order.append(("created_at", "m.created_at", True))
    return [*order, ("n", "m.n", False)]


def order_by(sort: Sort, *, reverse: bool, backwards: bool = False, fixed: int = 0) -> str:
    """The ORDER BY of a list, or of a `Range` of it; `backwards` reads it from its end.

    Leaves out the first `fixed` terms, so that SQLite uses the index and does not sort.
    """
    return "ORDER BY " + ", ".join(
        f"{expression} {'DESC' if descends is not backwards else 'ASC'}"
        for _, expression, descends in terms(sort, reverse=reverse)[fixed:]
    )


def index_of(sort: Sort, *, reverse: bool) -> str:
    """The name of the order's index.

    Queries name it, because the planner has no statistics and would choose the index of dates.
    """
    return f"models_{column_of(sort)}_{'desc' if natural_direction(sort) is not reverse else 'asc'}"


def key_columns(sort: Sort) -> str:
    """The columns that `ranges` needs to know of a model."""
    return ", ".join(dict.fromkeys(("m.n", "m.created_at", f"m.{column_of(sort)}")))


class Range(NamedTuple):
    """A part of an order's index: a condition on `models m` with the values of its parameters."""

    condition: str
    values: tuple[object, ...]
    fixed: int
    """The number of leading terms that have the same value in the whole range."""


def ranges(sort: Sort, *, reverse: bool, row: Mapping[str, object], after: bool) -> list[Range]:
    """The models before or after a model, as disjoint ranges of the index, the nearest first.

    `row` has the `key_columns` of the model.
    """
    found: list[Range] = []
    same, values = "", tuple[object, ...]()
    for place, (column, expression, descends) in enumerate(terms(sort, reverse=reverse)):
        if not column:
            unknown = row[column_of(sort)] is None
            if unknown is not after:
                found.append(Range(f"({expression}) = {int(after)}", (), place + 1))
            same = f"({expression}) = {int(unknown)} AND "
            continue
        value = row[column]
        if value is None:
            same += f"{expression} IS NULL AND "
            continue
        sign = ">" if descends is not after else "<"
        found.append(Range(f"{same}{expression} {sign} ?", (*values, value), place))
        # with `=` SQLite would also replace the column in `IS NULL`, and not use that index
        same += f"{expression} IS ? AND "
        values = (*values, value)
    return found[::-1]
