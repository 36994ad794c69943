"""Reads two or three columns of the models that match, as reports/effect.py compares them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.cache.column_text import data_of, text_of
from lora_tui.cache.model_columns import LOSSES, Kind, ModelColumn, column_of, values_of
from lora_tui.cache.model_list import ModelList
from lora_tui.cache.model_query import ModelQuery
from lora_tui.errors import UsageError
from lora_tui.reports.effect import Run
from lora_tui.reports.value_classes import Value, Variable
from lora_tui.text import terminal_safe

MOST_READ: Final = 200_000
"""Of more models so many are read, in pieces from the whole list."""
PIECES: Final = 50
_OF_ITS_DATASET: Final = LOSSES | {"perplexity"}
"""Columns that can only be compared within one dataset and one base model."""
_TRAINING: Final = frozenset({"final_loss", "perplexity", "stars"})
_DATASET: Final = ModelColumn("dataset_id", "", "", Kind.TEXT, "v.dataset_id")
_MOST_TEXT: Final = 200


class Question(NamedTuple):
    """The columns to compare; see `question_of`."""

    x: ModelColumn
    y: ModelColumn
    by: ModelColumn | None = None


class FoundRuns(NamedTuple):
    """The models that were read."""

    runs: list[Run]
    ids: list[str]
    """In the same order."""
    total: int
    """How many models match; more than were read where the list is very long."""


def question_of(x: str, y: str, by: str | None = None) -> Question:
    """The columns with these names. Raises UsageError where they can't be compared."""
    across, up = column_of(x), column_of(y)
    third = column_of(by) if by else None
    if across == up:
        raise UsageError(
            f"{across.name} is compared with itself", remedy="name two different columns"
        )
    if not up.kind.is_number:
        known = "it can stand first" if across.kind.is_number else "name a column of numbers"
        swapped = f": `lora-tui effect {up.name} {across.name}`" if across.kind.is_number else ""
        raise UsageError(
            f"The second column must be a number; {up.name} is a {up.kind.value}",
            remedy=f"{known}{swapped}",
        )
    return Question(across, up, third)


def variable_of(column: ModelColumn) -> Variable:
    """The column, as it is compared."""
    return Variable(
        column.name,
        column.kind.is_number,
        _text_of_number(column),
        better=column.better,
        is_loss=column.name in _OF_ITS_DATASET,
        is_training=column.name in _TRAINING,
        ticks_as_text=column.kind in (Kind.MOMENT, Kind.SIZE),
        data=partial(_timestamp, column) if column.kind is Kind.MOMENT else float,
    )


def read_runs(
    db: sqlite3.Connection, query: ModelQuery, question: Question, *, most: int = MOST_READ
) -> FoundRuns:
    """Read the models that match, at most `most` of them."""
    x, y, by = question
    validation = column_of("last_validation_loss")
    columns = (x, y, by or x, _DATASET, column_of("base_model"), validation)
    total = ModelList(db, query).total
    rows: list[tuple[Any, ...]] = []
    if total <= most:
        rows = values_of(db, columns, query)
    else:
        for piece in range(PIECES):
            start = total * piece // PIECES
            rows += values_of(db, columns, query, offset=start, limit=most // PIECES)
    runs = [
        Run(
            _value(x, across),
            _number(y, up),
            None if by is None else _value(by, third),
            dataset,
            base,
            loss is not None,
        )
        for _, across, up, third, dataset, base, loss in rows
    ]
    return FoundRuns(runs, [row[0] for row in rows], total)


def _value(column: ModelColumn, value: Any) -> Value:
    if column.kind.is_number:
        return _number(column, value)
    if column.kind is Kind.YES_NO:
        return "yes" if value else "no"
    text = str(value or "").strip()
    if column.kind is Kind.TAGS:
        return text or "none"
    return terminal_safe(text, limit=_MOST_TEXT) or None


def _number(column: ModelColumn, value: Any) -> float | None:
    if value is None or (column.kind is Kind.MOMENT and not value):
        return None
    number = float(value)
    return number if isfinite(number) else None


def _text_of_number(column: ModelColumn) -> Callable[[float], str]:
    if column.kind is Kind.STARS:
        return formats.number
    if column.name == "perplexity":
        return formats.perplexity
    if column.kind is Kind.MOMENT:
        return partial(_date, column)
    return partial(text_of, column)


def _date(column: ModelColumn, value: float) -> str:
    try:
        return text_of(column, round(value))
    except (OverflowError, ValueError):
        return formats.NO_VALUE


def _timestamp(column: ModelColumn, value: float) -> Any:
    return data_of(column, round(value))
