"""Selects the models for which a condition holds, from no more tables than it needs.

The rows of `models` are large: where there are a million, reading all of them takes seconds.
"""

from __future__ import annotations

from typing import Final

from lora_tui.cache.conditions import parse
from lora_tui.cache.model_columns import tables_of

_NARROW: Final = "SELECT v.n FROM model_values v"


def select_where(condition: str) -> tuple[str, list[object]]:
    """A SELECT, with its values, of the numbers of the models. Raises ConditionError.

    Conditions that have to hold together are asked one by one of the tables that each needs, so
    that SQLite reads a narrow table or an index for each, and no rows of `models`.
    """
    groups: dict[str, tuple[list[str], list[object]]] = {}
    for sql, values in parse(condition).parts:
        conditions, parameters = groups.setdefault(_select(sql), ([], []))
        conditions.append(sql)
        parameters += values
    selected, found = "", list[object]()
    for select in sorted(groups, key=lambda select: select != _NARROW):
        conditions, parameters = groups[select]
        one = f"{select} WHERE {' AND '.join(conditions)}"
        selected = f"{selected} AND {_number(selected)} IN ({one})" if selected else one
        found += parameters
    return selected, found


def _select(sql: str) -> str:
    return f"SELECT v.n FROM {tables_of(sql)}"


def _number(select: str) -> str:
    """The column that a SELECT of this module selects."""
    return select.split(maxsplit=2)[1]
