"""The columns that `list --columns` names: as a table, CSV and JSON, and what there is to name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from lora_tui.cache.column_text import csv_value, data_of, text_of
from lora_tui.cache.model_columns import MODEL_COLUMNS, Kind, ModelColumn, column_of, values_of
from lora_tui.cache.model_query import ModelQuery
from lora_tui.commands.context import Context
from lora_tui.commands.style import style_of, table_width_of
from lora_tui.commands.table import Column, hidden_headings, hidden_sentence, table_lines
from lora_tui.errors import UsageError

USUAL: Final = (
    "id", "stars", "convergence", "name", "dataset", "created_at", "final_loss", "cost",
)  # fmt: skip
"""The columns of the table without `--columns`."""
USUAL_CSV: Final = (
    "id", "name", "version", "status", "stars", "convergence", "dataset", "preset",
    "base_model", "final_loss", "perplexity", "cost", "duration_hours", "size", "created_at",
)  # fmt: skip
"""Those of the CSV."""
_SHORT_ID: Final = 8
_WIDEST: Final = 40
_IMPORTANCE: Final = {
    **{"id": 100, "name": 95, "stars": 70, "final_loss": 65, "created_at": 64},
    **{"dataset": 60, "convergence": 50, "cost": 40},
}
"""Of the usual columns, where others are added: those that somebody named matter more."""


def chosen_columns(names: str, usual: Sequence[str]) -> list[ModelColumn]:
    """The columns of `A,B`, in this order; of `+A,B` these after the usual ones.

    Raises UsageError.
    """
    adds = names.strip().startswith("+")
    wanted = [name for name in names.strip().removeprefix("+").split(",") if name.strip()]
    if not wanted:
        raise UsageError(
            "--columns names no column",
            remedy="write it like name,rank or +rank; `lora-tui list --columns help` lists all",
        )
    chosen = [column_of(name) for name in ((*usual, *wanted) if adds else wanted)]
    return list(dict.fromkeys(chosen))


def used_columns(query: ModelQuery) -> list[ModelColumn]:
    """The usual columns, that of the order, and those of the condition; none if all are usual."""
    from lora_tui.cache.conditions import parse  # late: an order alone has no condition

    names = [column_of(query.sort).name]
    if query.where:
        names += [column.name for column in parse(query.where).columns]
    others = [name for name in names if name not in USUAL]
    return chosen_columns(f"+{','.join(others)}", USUAL) if others else []


def print_help(context: Context) -> None:
    """Print the name, kind and meaning of each column."""
    if context.json:
        found = [
            {"name": column.name, "kind": column.kind.value, "meaning": column.meaning}
            for column in MODEL_COLUMNS
        ]
        context.print_data({"columns": found})
        return
    table = (Column("NAME", 100), Column("KIND", 90), Column("MEANING", 95, least=20))
    rows = [(column.name, column.kind.value, column.meaning) for column in MODEL_COLUMNS]
    context.out.writelines(
        f"{line}\n" for line in table_lines(table, rows, table_width_of(context))
    )


def table_text(
    context: Context,
    columns: Sequence[ModelColumn],
    rows: Sequence[Sequence[Any]],
    *,
    adds: bool,
) -> tuple[str, str]:
    """The table, and a sentence about named columns that do not fit; empty where all do.

    `rows` have a value for each column. `adds`: the first ones are the usual ones.
    """
    ascii_only = style_of(context).ascii_only
    cells = [
        [_cell(column, value, ascii_only) for column, value in zip(columns, row, strict=True)]
        for row in rows
    ]
    table = [
        _table_column(
            column,
            _IMPORTANCE[column.name] if adds and place < len(USUAL) else max(1, 94 - place),
        )
        for place, column in enumerate(columns)
    ]
    width = table_width_of(context)
    hidden = hidden_headings(table, cells, width)
    named = {column.title.upper() for column in columns[len(USUAL) if adds else 0 :]}
    sentence = hidden_sentence([heading for heading in hidden if heading in named])
    return "".join(f"{line}\n" for line in table_lines(table, cells, width)), sentence


def csv_text(columns: Sequence[ModelColumn], rows: Sequence[Sequence[Any]]) -> str:
    """The CSV, with the names of the columns as its first line."""
    from lora_tui.reports.exports import csv_table

    lines = [
        [csv_value(column, value) for column, value in zip(columns, row, strict=True)]
        for row in rows
    ]
    return csv_table([column.name for column in columns], lines)


def add_values(
    db: sqlite3.Connection,
    rows: Sequence[dict[str, Any]],
    columns: Sequence[ModelColumn],
    query: ModelQuery,
    *,
    offset: int,
    limit: int,
) -> None:
    """Give each row `columns`: the name of a column → its value."""
    found = {
        model_id: {
            column.name: data_of(column, value)
            for column, value in zip(columns, values, strict=True)
        }
        for model_id, *values in values_of(db, columns, query, offset=offset, limit=limit)
    }
    for row in rows:
        row["columns"] = found.get(str(row.get("id")), {})


def _cell(column: ModelColumn, value: Any, ascii_only: bool) -> str:
    text = text_of(column, value, ascii_only=ascii_only)
    return text[:_SHORT_ID] if column.name == "id" else text


def _table_column(column: ModelColumn, importance: int) -> Column:
    heading = column.title.upper()
    if column.kind in (Kind.TEXT, Kind.TAGS) and column.name != "id":
        return Column(heading, importance, least=12, most=_WIDEST)
    right = column.kind.is_number and column.kind not in (Kind.STARS, Kind.MOMENT)
    return Column(heading, importance, right=right)
