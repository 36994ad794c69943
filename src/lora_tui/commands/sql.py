"""`sql`: a query of the user over the views of the cache, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.sql_query import LONGEST_QUERY, Result, Values, run_query
from lora_tui.cache.sql_views import SqlView, sql_views
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.due_values import ALL_DUE, check_named
from lora_tui.commands.style import table_width_of
from lora_tui.commands.table import Column, hidden_headings, hidden_sentence, table_lines
from lora_tui.errors import UsageError
from lora_tui.json_values import json_text
from lora_tui.reports.exports import escape_formula
from lora_tui.text import terminal_safe

_MOST_VALUES: Final = 500_000
"""Of a table or one JSON document, which are held in memory."""
_LONGEST_TEXT: Final = 10_000
"""Characters of one value in a table."""
_LEAST_OF_TEXT: Final = 12
_DATE: Final = re.compile(r"\d{4}-\d\d(-\d\d([T ][\d:.]+Z?)?)?", re.ASCII)
_WORD: Final = re.compile(r"\w+")
_ALL: Final = re.compile(r"select\s+(\w+\.)?\*", re.IGNORECASE)
_SCHEMA_COLUMNS: Final = (
    Column("VIEW", 100),
    Column("COLUMN", 99),
    Column("VALUES", 50),
    Column("MEANING", 90, least=20),
)


def sql(context: Context) -> None:
    """Print what a query returns, or with --schema what there is to ask for."""
    arguments = context.arguments
    if arguments.schema:
        if arguments.query is not None:
            raise UsageError("--schema takes no query", remedy="leave one out")
        if arguments.csv or arguments.jsonl:
            raise UsageError(
                "--schema is printed as text or with --json", remedy="leave out --csv and --jsonl"
            )
        _print_schema(context)
        return
    query = _query(arguments.query)
    path = context.cache_path()
    with context.cache() as db:  # creates or updates it, and checks whose it is
        check_named(context, db, ALL_DUE if _ALL.search(query) else _WORD.findall(query.lower()))
        state = metadata.get_sync_state(db)
    if state.rebuilt:
        context.say(CACHE_REBUILT)
    result = run_query(path, query, seconds=arguments.timeout)
    if context.json:
        rows = _whole(result)
        names = _unique(result.columns)
        data = [dict(zip(names, map(_value, row), strict=True)) for row in rows]
        context.print_data({"columns": names, "rows": data})
    elif arguments.jsonl:
        names = _unique(result.columns)
        for row in result.rows:
            context.out.write(json_text(dict(zip(names, map(_value, row), strict=True))) + "\n")
    elif arguments.csv:
        writer = csv.writer(context.out, lineterminator="\n")
        writer.writerow([escape_formula(name) for name in result.columns])
        for row in result.rows:
            writer.writerow([escape_formula(_value(value)) for value in row])
    else:
        _print_table(context, result)
        if state.last_success is None and not state.rebuilt:
            context.say("The cache was never synced: run `lora-tui sync`.")
        elif state.last_success is not None:
            context.say(f"Synced {formats.age(state.last_success, clock.now())}")


def _query(given: str | None) -> str:
    """The query: the argument, or what stdin holds. Raises UsageError."""
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise UsageError(
            "There is no query",
            remedy="write `lora-tui sql 'select …'`; `lora-tui sql --schema` lists the views",
        )
    try:
        text = sys.stdin.read(LONGEST_QUERY + 1)
    except UnicodeDecodeError:
        raise UsageError("The query is not UTF-8 text") from None
    if len(text) > LONGEST_QUERY:
        raise UsageError(f"The query is longer than {formats.count(LONGEST_QUERY)} characters")
    return text


def _whole(result: Result) -> list[Values]:
    """All rows. Raises UsageError where they are too many to hold."""
    rows: list[Values] = []
    most = max(1, _MOST_VALUES // max(1, len(result.columns)))
    size = 0
    for row in result.rows:
        rows.append(row)
        size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if len(rows) > most or size > _MOST_VALUES * 100:
            raise UsageError(
                f"The result has more than {formats.count(len(rows) - 1)} rows, too many for a"
                " table or one JSON document",
                remedy="add LIMIT, or use --csv or --jsonl, which print rows as they come",
            )
    return rows


def _unique(names: Sequence[str]) -> list[str]:
    """The names of the columns; the second of the same name is `name_2`."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return found


def _value(value: Any) -> Any:
    """A value for CSV and JSON: blobs in hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else value


def _print_table(context: Context, result: Result) -> None:
    rows = _whole(result)
    columns = [
        _column(place, name, [row[place] for row in rows])
        for place, name in enumerate(result.columns)
    ]
    texts = [[_text(value) for value in row] for row in rows]
    width = table_width_of(context)
    context.out.writelines(f"{line}\n" for line in table_lines(columns, texts, width))
    hidden = hidden_sentence(hidden_headings(columns, texts, width))
    if hidden:
        context.say(hidden)
    context.say(formats.counted(len(rows), "row"))


def _column(place: int, name: str, values: Sequence[Any]) -> Column:
    """How a column of these values is shown: numbers and dates are never cut."""
    known = [value for value in values if value is not None]
    numbers = bool(known) and all(isinstance(value, (int, float)) for value in known)
    is_whole = numbers or all(isinstance(v, str) and _DATE.fullmatch(v) for v in known)
    return Column(
        terminal_safe(name, limit=200),
        100 if place == 0 else -place,  # the columns that come first matter most
        right=numbers,
        least=None if is_whole else _LEAST_OF_TEXT,
    )


def _text(value: Any) -> str:
    if value is None:
        return formats.NO_VALUE
    if isinstance(value, float):
        return f"{value:.15g}"
    return terminal_safe(_value(value), limit=_LONGEST_TEXT)


def _print_schema(context: Context) -> None:
    with context.cache() as db:
        views = sql_views(db)
    if context.json:
        context.print_data(
            {
                "views": [
                    {
                        "name": view.name,
                        "meaning": view.meaning,
                        "columns": [
                            {"name": c.name, "values": c.type, "meaning": c.meaning}
                            for c in view.columns
                        ],
                    }
                    for view in views
                ]
            }
        )
        return
    for line in table_lines(_SCHEMA_COLUMNS, list(_schema_rows(views)), table_width_of(context)):
        context.out.write(f"{line}\n")


def _schema_rows(views: Sequence[SqlView]) -> Iterator[tuple[str, str, str, str]]:
    for view in views:
        yield view.name, "", "", view.meaning
        for column in view.columns:
            yield "", column.name, column.type, column.meaning
