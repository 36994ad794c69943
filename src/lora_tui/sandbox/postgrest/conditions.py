"""A parsed condition as parameterised SQLite SQL: comparisons, lists, paths into JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from lora_tui.sandbox.postgrest.errors import RestError, malformed, unknown_column
from lora_tui.sandbox.postgrest.grammar import Condition, Filter, Logic, Path
from lora_tui.sandbox.postgrest.tables import Column, Table
from lora_tui.sandbox.postgrest.values import to_sql

_COMPARISONS: Final[Mapping[str, str]] = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "isdistinct": "IS NOT",
}
_CONTAINMENT: Final[Mapping[str, str]] = {"cs": "@>", "cd": "<@"}
_IS: Final[Mapping[str, str]] = {
    "null": "IS NULL",
    "not_null": "IS NOT NULL",
    "true": "IS 1",
    "false": "IS 0",
    "unknown": "IS NULL",
}
# PostgreSQL sorts JSON by kind first
JSON_RANK: Final = (
    "CASE json_type({c}, {p}) WHEN 'null' THEN 0 WHEN 'text' THEN 1 WHEN 'integer' THEN 2"
    " WHEN 'real' THEN 2 WHEN 'false' THEN 3 WHEN 'true' THEN 3 WHEN 'array' THEN 4"
    " WHEN 'object' THEN 5 END"
)
JSON_TEXT: Final = (
    "CASE json_type({c}, {p}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
    " ELSE CAST(json_extract({c}, {p}) AS TEXT) END"
)


def column_of(table: Table, path: Path) -> Column:
    """The column that a path begins with. Raises RestError where there is none."""
    if path.column == "*":
        return next(iter(table.columns.values()))
    column = table.columns.get(path.column)
    if column is None:
        raise unknown_column(table.name, path.column)
    if path.keys and column.type != "jsonb":
        raise RestError(
            404,
            "42883",
            f"operator does not exist: {column.type} -> unknown",
            hint="No operator matches the given name and argument types.",
        )
    return column


def condition_sql(table: Table, alias: str, condition: Condition) -> tuple[str, list[Any]]:
    """A condition on the rows of `alias`, with its parameters. Raises RestError."""
    if isinstance(condition, Logic):
        parts, parameters = [], list[Any]()
        for inner in condition.conditions:
            part, more = condition_sql(table, alias, inner)
            parts.append(part)
            parameters += more
        joined = f"({f' {condition.operator.upper()} '.join(parts)})"
    else:
        joined, parameters = _filter(column_of(table, condition.path), alias, condition)
    return (f"NOT ({joined})" if condition.negated else joined), parameters


def _filter(column: Column, alias: str, condition: Filter) -> tuple[str, list[Any]]:
    name = f'{alias}."{column.name}"'
    if condition.quantifier is not None:
        return _quantified(column, alias, condition)
    if condition.operator in _CONTAINMENT:
        return _containment(column, name, condition)
    if condition.path.keys:
        path = json_path(condition.path)
        if not condition.path.as_text and condition.operator in _COMPARISONS:
            return _json_comparison(name, path, condition)
        as_text = Column(column.name, "text")
        part, parameters = _plain_filter(JSON_TEXT.format(c=name, p="?"), as_text, condition)
        return part, [path, path, *parameters]
    return _plain_filter(name, column, condition)


def _quantified(column: Column, alias: str, condition: Filter) -> tuple[str, list[Any]]:
    """`like(any).{a,b}` and similar: one condition for each value."""
    parts, parameters = [], list[Any]()
    for value in condition.value:
        one = replace(condition, value=value, quantifier=None)
        part, more = _filter(column, alias, one)
        parts.append(part)
        parameters += more
    if not parts:
        return ("0" if condition.quantifier == "any" else "1"), []
    return f"({(' OR ' if condition.quantifier == 'any' else ' AND ').join(parts)})", parameters


def _containment(column: Column, name: str, condition: Filter) -> tuple[str, list[Any]]:
    """`cs` and `cd`, PostgreSQL's `@>` and `<@`, for JSON."""
    sign = _CONTAINMENT[condition.operator]
    if column.type != "jsonb" or condition.path.as_text:
        kind = "text" if condition.path.as_text else column.type
        raise RestError(404, "42883", f"operator does not exist: {kind} {sign} unknown")
    assert isinstance(condition.value, str)
    value = _parsed(condition.value)
    expression, parameters = name, list[Any]()
    if condition.path.keys:
        # for two paths SQLite returns an array, which tells JSON from text
        path = json_path(condition.path)
        expression, parameters, value = f"json_extract({name}, ?, ?)", [path, path], [value]
    given = json.dumps(value)
    if condition.operator == "cs":
        return f"pg_json_contains({expression}, ?)", [*parameters, given]
    return f"pg_json_contains(?, {expression})", [given, *parameters]


def _plain_filter(expression: str, column: Column, condition: Filter) -> tuple[str, list[Any]]:
    operator, value = condition.operator, condition.value
    if isinstance(value, tuple):
        marks = ", ".join("?" * len(value))
        return f"{expression} IN ({marks})", [_filter_value(column, item) for item in value]
    if operator == "is":
        test = _IS.get(value.lower())
        if test is None:
            raise RestError(400, "PGRST100", f'"failed to parse filter (is.{value})"')
        return f"{expression} {test}", []
    if operator in {"like", "ilike"}:
        if column.type != "text":
            sign = "~~*" if operator == "ilike" else "~~"
            raise RestError(404, "42883", f"operator does not exist: {column.type} {sign} unknown")
        insensitive = int(operator == "ilike")
        return f"pg_like({expression}, ?, {insensitive})", [value.replace("*", "%")]
    if operator in {"match", "imatch"}:
        insensitive = int(operator == "imatch")
        if column.type != "text":
            sign = "~*" if insensitive else "~"
            raise RestError(404, "42883", f"operator does not exist: {column.type} {sign} unknown")
        try:
            re.compile(value)
        except re.error as error:
            raise RestError(400, "2201B", f"invalid regular expression: {error}") from None
        return f"pg_match({expression}, ?, {insensitive})", [value]
    return f"{expression} {_COMPARISONS[operator]} ?", [_filter_value(column, value)]


def _filter_value(column: Column, text: str) -> Any:
    if column.type != "jsonb":
        # A filter's text may be longer than the column allows: it only never matches.
        unlimited = Column(column.name, column.type, decimals=None)
        return to_sql(unlimited, text)
    return json.dumps(_parsed(text))


def _json_comparison(name: str, path: str, condition: Filter) -> tuple[str, list[Any]]:
    assert isinstance(condition.value, str)
    value = _parsed(condition.value)
    rank_of = JSON_RANK.format(c="?", p="'$'")
    rank = JSON_RANK.format(c=name, p="?")
    sign = _COMPARISONS[condition.operator]
    extracted = f"json_extract({name}, ?)"
    text = json.dumps(value)
    equal = f"({rank} = {rank_of} AND {extracted} IS json_extract(?, '$'))"
    if sign in {"=", "<>", "IS NOT"}:
        part = equal if sign == "=" else f"NOT {equal}"
        return part, [path, text, path, text]
    within = f"({rank} = {rank_of} AND {extracted} {sign} json_extract(?, '$'))"
    outside = f"{rank} {sign.rstrip('=')} {rank_of}"
    return f"({within} OR {outside})", [path, text, path, text, path, text]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise malformed("json", text) from None


def json_path(path: Path) -> str:
    """The keys of a path as SQLite writes them. Raises RestError."""
    parts = []
    for key in path.keys:
        if key.lstrip("-").isdigit():
            parts.append(f"[{key}]" if not key.startswith("-") else f"[#{key}]")
        elif '"' in key:
            raise RestError(400, "PGRST100", f'"failed to parse JSON path ({key})"')
        else:
            parts.append(f'."{key}"')
    return "$" + "".join(parts)
