"""What stands before and after a model in an order of the list: stretches of the order's index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lora_tui.cache.model_order import Sort, column_of, terms


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
