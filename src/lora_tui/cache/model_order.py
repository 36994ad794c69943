"""The orders that the list of models can have, as SQL that an index of the cache serves.

Whatever the order, unknown values come last in both directions, then the newest come first, then
what arrived first. Each order has an index of exactly these terms (schema.py), so a window of the
list costs its own rows and not those of the whole list. `list` waits for this module, so it imports
next to nothing (docs/architecture.md, "How fast `list` is").
"""

from __future__ import annotations

from enum import StrEnum


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
