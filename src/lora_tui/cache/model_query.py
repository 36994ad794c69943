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
    """Which models, in which order. `reverse` turns the natural direction of `sort` around."""

    sort: Sort = Sort.CREATED
    reverse: bool = False
    search: str = ""
    """Words that must all begin a word of name, dataset, base model or description, or the id."""
    convergences: frozenset[str] = frozenset()
    min_stars: int = 0
    dataset: str = ""
    """A dataset's id or exact name."""
    preset: str = ""
    base_model: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None
    downloaded: bool | None = None
    """Whether all files lie on this disk; None does not ask."""

    @property
    def is_everything(self) -> bool:
        """Whether no model is left out."""
        return self.unfiltered == self

    @property
    def unfiltered(self) -> ModelQuery:
        """The same order of all models."""
        return ModelQuery(sort=self.sort, reverse=self.reverse)


_KEYS = {
    # column, whether it descends by nature, whether it may be unknown, collation
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
    """Whether the list descends by this order unless it is reversed."""
    return _KEYS[sort][1]


def terms(sort: Sort, *, reverse: bool) -> list[tuple[str, str, bool]]:
    """The terms of the order: the column whose value counts (empty: whether it is known), the
    expression that SQL orders by, and whether it descends. The last one is unique."""
    column, descends, may_be_unknown, collation = _KEYS[sort]
    order = [(column, f"m.{column}{collation}", descends is not reverse)]
    if may_be_unknown:
        order.insert(0, ("", f"m.{column} IS NULL", False))
    if sort is not Sort.CREATED:
        order.append(("created_at", "m.created_at", True))
    return [*order, ("n", "m.n", False)]


def order_by(sort: Sort, *, reverse: bool, backwards: bool = False, fixed: int = 0) -> str:
    """The ORDER BY of a list, or of a `Range` of it; `backwards` gives the same from its end.

    Terms that are fixed are left out: SQLite does not see by itself that they don't matter.
    """
    return "ORDER BY " + ", ".join(
        f"{expression} {'DESC' if descends is not backwards else 'ASC'}"
        for _, expression, descends in terms(sort, reverse=reverse)[fixed:]
    )


def index_of(sort: Sort, *, reverse: bool) -> str:
    """The name of the order's index. Queries name it: the planner, which knows no statistics, is
    drawn to the index of dates."""
    return f"models_{column_of(sort)}_{'desc' if natural_direction(sort) is not reverse else 'asc'}"


def key_columns(sort: Sort) -> str:
    """The columns that `ranges` needs to know of a model."""
    return ", ".join(dict.fromkeys(("m.n", "m.created_at", f"m.{column_of(sort)}")))


class Range(NamedTuple):
    """A stretch of an order's index: a condition on `models m` with the values of its marks."""

    condition: str
    values: tuple[object, ...]
    fixed: int
    """So many leading terms of the order have one value in all of it."""


def ranges(sort: Sort, *, reverse: bool, row: Mapping[str, object], after: bool) -> list[Range]:
    """What stands before or after a model: ranges of the order's index that do not overlap.

    The nearest one comes first. `row` has the `key_columns` of the model.
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
        # not `=`: SQLite would put the value into `IS NULL` too, and miss the index of that
        same += f"{expression} IS ? AND "
        values = (*values, value)
    return found[::-1]
