"""The orders that the list of models can have, as SQL that an index of the cache serves.

Whatever the order, unknown values come last in both directions, then the newest come first, then
what arrived first. Each order has an index of exactly these terms (schema.py), so a window of the
list costs its own rows and not those of the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


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


class Key(NamedTuple):
    """A column that can be sorted by."""

    column: str
    descending: bool
    """The natural direction."""
    nullable: bool = True
    collation: str = ""


_KEYS: Final[dict[Sort, Key]] = {
    Sort.CREATED: Key("created_at", descending=True, nullable=False),
    Sort.QUALITY: Key("stars", descending=True),
    Sort.NAME: Key("name", descending=False, nullable=False, collation=" COLLATE NOCASE"),
    Sort.COST: Key("cost", descending=True),
    Sort.LOSS: Key("final_loss", descending=False),
    Sort.DURATION: Key("duration_hours", descending=True),
    Sort.SIZE: Key("size", descending=True),
    Sort.PERPLEXITY: Key("perplexity", descending=False),
}


class Term(NamedTuple):
    """One term of an ORDER BY."""

    column: str
    """Whose value it orders by; `expression` is what it orders by."""
    expression: str
    descending: bool


class Range(NamedTuple):
    """A stretch of an order's index: a condition on `models m` with the values of its marks."""

    condition: str
    values: tuple[object, ...]
    fixed: int
    """So many leading terms of the order have one value in all of it."""


def natural_direction(sort: Sort) -> bool:
    """Whether the list descends by this order unless it is reversed."""
    return _KEYS[sort].descending


def terms(sort: Sort, *, reverse: bool) -> tuple[Term, ...]:
    """The terms of the order; the last one is unique."""
    key = _KEYS[sort]
    first = [Term(key.column, f"m.{key.column}{key.collation}", key.descending is not reverse)]
    if key.nullable:
        first.insert(0, Term("", f"m.{key.column} IS NULL", False))
    if sort is not Sort.CREATED:
        first.append(Term("created_at", "m.created_at", True))
    return (*first, Term("n", "m.n", False))


def order_by(sort: Sort, *, reverse: bool, backwards: bool = False, fixed: int = 0) -> str:
    """The ORDER BY of a list, or of a `Range` of it; `backwards` gives the same from its end.

    Terms that are fixed are left out: SQLite does not see by itself that they don't matter.
    """
    return "ORDER BY " + ", ".join(
        f"{term.expression} {'DESC' if term.descending is not backwards else 'ASC'}"
        for term in terms(sort, reverse=reverse)[fixed:]
    )


def index_of(sort: Sort, *, reverse: bool) -> str:
    """The name of the order's index. Queries name it: the planner, which knows no statistics, is
    drawn to the index of dates."""
    key = _KEYS[sort]
    return f"models_{key.column}_{'desc' if key.descending is not reverse else 'asc'}"


def key_columns(sort: Sort) -> str:
    """The columns that `ranges` needs to know of a model."""
    return ", ".join(dict.fromkeys(("m.n", "m.created_at", f"m.{_KEYS[sort].column}")))


def ranges(sort: Sort, *, reverse: bool, row: Mapping[str, object], after: bool) -> list[Range]:
    """What stands before or after a model: ranges of the order's index that do not overlap.

    The nearest one comes first. `row` has the `key_columns` of the model.
    """
    found: list[Range] = []
    same, values = "", tuple[object, ...]()
    for place, term in enumerate(terms(sort, reverse=reverse)):
        if not term.column:
            unknown = row[_KEYS[sort].column] is None
            if unknown is not after:
                found.append(Range(f"({term.expression}) = {int(after)}", (), place + 1))
            same = f"({term.expression}) = {int(unknown)} AND "
            continue
        value = row[term.column]
        if value is None:
            same += f"{term.expression} IS NULL AND "
            continue
        sign = ">" if term.descending is not after else "<"
        found.append(Range(f"{same}{term.expression} {sign} ?", (*values, value), place))
        # not `=`: SQLite would put the value into `IS NULL` too, and miss the index of that
        same += f"{term.expression} IS ? AND "
        values = (*values, value)
    return found[::-1]
