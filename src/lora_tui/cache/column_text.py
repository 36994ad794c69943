"""Writes the values of columns: for people, and for CSV and JSON. One way for each kind."""

from __future__ import annotations

from typing import Any, Final

from lora_tui import formats
from lora_tui.cache.model_columns import LOSSES, Kind, ModelColumn
from lora_tui.clock import moment_of
from lora_tui.text import terminal_safe

_STEPS: Final = ("last_validation_step", "best_validation_step")
_MOST: Final = 200
"""Characters of a text."""


def text_of(column: ModelColumn, value: Any, *, ascii_only: bool = False) -> str:
    """What a table shows: one line, in the user's zone; a dash for an unknown value.

    `value` is as SQL has it (see `Kind`).
    """
    if is_unknown(column, value):
        return formats.NO_VALUE if not ascii_only else "-"
    match column.kind:
        case Kind.STARS:
            return formats.stars(value, ascii_only=ascii_only)
        case Kind.MONEY:
            return formats.money(value)
        case Kind.SIZE:
            return formats.size(value)
        case Kind.HOURS:
            return formats.hours(value)
        case Kind.MOMENT:
            return formats.date(moment_of(value))
        case Kind.YES_NO:
            return "yes" if value else "no"
        case Kind.TEXT | Kind.TAGS:
            return terminal_safe(value, limit=_MOST)
        case _ if column.name in LOSSES:
            return formats.loss(value)
        case _ if column.name in _STEPS:
            return formats.step(value)
        case _:
            return formats.number(value)


def data_of(column: ModelColumn, value: Any) -> Any:
    """For JSON: a number, a text, true or false, a list of tags, a timestamp in UTC; or None."""
    if column.kind is Kind.TAGS:
        return (value or "").split()
    if is_unknown(column, value):
        return None
    if column.kind is Kind.MOMENT:
        moment = moment_of(value)
        return None if moment is None else moment.isoformat()
    return bool(value) if column.kind is Kind.YES_NO else value


def csv_value(column: ModelColumn, value: Any) -> Any:
    """For CSV: as `data_of`, with yes or no, and tags in one text; nothing where it is unknown."""
    data = data_of(column, value)
    if column.kind is Kind.YES_NO:
        return "yes" if data else "no"
    return " ".join(data) if column.kind is Kind.TAGS else data


def is_unknown(column: ModelColumn, value: Any) -> bool:
    """Whether a value as SQL has it says nothing."""
    if column.kind is Kind.MOMENT:
        return not value
    return value is None or value == "" or (column.kind is Kind.TAGS and not value.strip())
