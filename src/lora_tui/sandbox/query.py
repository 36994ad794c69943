"""A parsed query on the tables as parameterised SQLite SQL, embeds included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.sandbox.backend import Caller
from lora_tui.sandbox.database import Database
from lora_tui.sandbox.grammar import Condition, Embed, Field, Filter, Logic, Order, Path, Query
from lora_tui.sandbox.policies import visible
from lora_tui.sandbox.rest_errors import RestError, malformed, unknown_column
from lora_tui.sandbox.tables import TABLES, Column, Table, constraint
from lora_tui.sandbox.values import Dialect, to_json, to_sql, to_text

_COMPARISONS: Final[Mapping[str, str]] = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "isdistinct": "IS NOT",
}
_IS: Final[Mapping[str, str]] = {
    "null": "IS NULL",
    "not_null": "IS NOT NULL",
    "true": "IS 1",
    "false": "IS 0",
    "unknown": "IS NULL",
}
# PostgreSQL sorts JSON by kind first
_JSON_RANK: Final = (
    "CASE json_type({c}, {p}) WHEN 'null' THEN 0 WHEN 'text' THEN 1 WHEN 'integer' THEN 2"
    " WHEN 'real' THEN 2 WHEN 'false' THEN 3 WHEN 'true' THEN 3 WHEN 'array' THEN 4"
    " WHEN 'object' THEN 5 END"
)
_JSON_TEXT: Final = (
    "CASE json_type({c}, {p}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
    " ELSE CAST(json_extract({c}, {p}) AS TEXT) END"
)


@dataclass(frozen=True)
class Relation:
    """How an embed hangs on its table: rows where `table.near` equals `target.far`."""

    target: Table
    near: str
    far: str
    to_one: bool
    constraint: str


@dataclass(frozen=True)
class Reader:
    """Runs queries for one caller."""

    database: Database
    caller: Caller
    migrated: bool
    dialect: Dialect

    def rows(self, table: Table, query: Query, *, most: int) -> list[dict[str, Any]]:
        """The rows of an answer, at most `most`. Raises RestError."""
        where, parameters = self.where(table, query)
        order, order_parameters = self._order(table, query)
        limit = most if query.limit is None else min(query.limit, most)
        found = self._fetch(
            table,
            query,
            f"{where}{order} LIMIT ? OFFSET ?",
            [*parameters, *order_parameters, limit, query.offset],
        )
        return self._shape(table, query, found)

    def count(self, table: Table, query: Query) -> int:
        """How many rows match, whatever limit and offset say."""
        where, parameters = self.where(table, query)
        row = self.database.row(
            f"SELECT count(*) AS total FROM {table.name} AS t{where}", parameters
        )
        assert row is not None
        return int(row["total"])

    def where(self, table: Table, query: Query) -> tuple[str, list[Any]]:
        """The WHERE clause, on the alias `t`, with its parameters."""
        return self._where(table, "t", query)

    def by_ids(self, table: Table, query: Query, ids: Sequence[str]) -> list[dict[str, Any]]:
        """These rows in this order as the query selects them, whoever may see them."""
        found = self._fetch(
            table,
            query,
            f' WHERE t."{table.key}" IN (SELECT value FROM json_each(?))',
            [json.dumps(ids)],
        )
        by_id = {row[table.key]: row for row in found}
        return self._shape(table, query, [by_id[key] for key in ids if key in by_id])

    def check(self, table: Table, query: Query) -> None:
        """Raise RestError where the query names what is not there."""
        for item in query.fields:
            if isinstance(item, Embed):
                relation = find_relation(table, item)
                self.check(relation.target, item.query)
            else:
                _column(table, item.path)

    def _fetch(
        self, table: Table, query: Query, tail: str, parameters: Sequence[Any]
    ) -> list[Mapping[str, Any]]:
        self.check(table, query)
        needed = {table.key}
        for item in query.fields:
            if isinstance(item, Embed):
                needed.add(find_relation(table, item).near)
            elif item.path.column == "*":
                needed.update(table.columns)
            else:
                needed.add(item.path.column)
        names = ", ".join(f't."{name}"' for name in table.columns if name in needed)
        rows = self.database.rows(f"SELECT {names} FROM {table.name} AS t{tail}", parameters)
        return list(rows)

    def _shape(
        self, table: Table, query: Query, found: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        shaped: list[dict[str, Any]] = [{} for _ in found]
        for item in query.fields:
            if isinstance(item, Embed):
                self._embed(table, item, found, shaped)
            elif item.path.column == "*":
                for column in table.columns.values():
                    for row, out in zip(found, shaped, strict=True):
                        out[column.name] = to_json(column, row[column.name], self.dialect)
            else:
                column = table.columns[item.path.column]
                for row, out in zip(found, shaped, strict=True):
                    out[item.name] = self._field(column, item, row[column.name])
        return shaped

    def _field(self, column: Column, item: Field, value: Any) -> Any:
        shown = to_json(column, value, self.dialect)
        if item.path.keys:
            shown = _at(shown, item.path.keys)
            if item.path.as_text and shown is not None and not isinstance(shown, str):
                shown = json.dumps(shown)
        if item.cast == "text" and shown is not None and not isinstance(shown, str):
            shown = to_text(column, value) if not item.path.keys else json.dumps(shown)
        return shown

    def _embed(
        self,
        table: Table,
        embed: Embed,
        found: Sequence[Mapping[str, Any]],
        shaped: Sequence[dict[str, Any]],
    ) -> None:
        relation = find_relation(table, embed)
        keys = sorted({row[relation.near] for row in found if row[relation.near] is not None})
        where, parameters = self._where(relation.target, "t", embed.query)
        order, order_parameters = self._order(relation.target, embed.query)
        link = f' AND t."{relation.far}" IN (SELECT value FROM json_each(?))'
        linked = Query(fields=(*embed.query.fields, Field(Path(relation.far), relation.far)))
        rows = self._fetch(
            relation.target,
            linked,
            f"{where}{link}{order}",
            [*parameters, json.dumps(keys), *order_parameters],
        )
        children = self._shape(relation.target, embed.query, rows)
        families: dict[str, list[dict[str, Any]]] = {}
        for row, child in zip(rows, children, strict=True):
            families.setdefault(row[relation.far], []).append(child)
        limit = embed.query.limit
        for row, out in zip(found, shaped, strict=True):
            family = families.get(row[relation.near], [])
            if relation.to_one:
                out[embed.name] = family[0] if family else None
            else:
                family = family[embed.query.offset :]
                out[embed.name] = family if limit is None else family[:limit]

    def _where(self, table: Table, alias: str, query: Query) -> tuple[str, list[Any]]:
        policy, policy_parameters = visible(table.name, alias, self.caller, migrated=self.migrated)
        parts, parameters = [policy], list[Any](policy_parameters)
        for condition in query.conditions:
            part, more = _condition(table, alias, condition)
            parts.append(part)
            parameters += more
        for item in query.fields:
            if isinstance(item, Embed) and item.inner:
                relation = find_relation(table, item)
                inner_alias = f"{alias}_{len(parts)}"
                inner, more = self._where(relation.target, inner_alias, item.query)
                parts.append(
                    f"EXISTS (SELECT 1 FROM {relation.target.name} AS {inner_alias}{inner}"
                    f' AND {inner_alias}."{relation.far}" = {alias}."{relation.near}")'
                )
                parameters += more
        return f" WHERE {' AND '.join(parts)}", parameters

    def _order(self, table: Table, query: Query) -> tuple[str, list[Any]]:
        terms: list[str] = []
        parameters: list[Any] = []
        for order in query.order:
            part, more = self._order_term(table, query, order)
            terms.append(part)
            parameters += more
        return (f" ORDER BY {', '.join(terms)}" if terms else ""), parameters

    def _order_term(self, table: Table, query: Query, order: Order) -> tuple[str, list[Any]]:
        direction = "DESC" if order.descending else "ASC"
        nulls = f"NULLS {'FIRST' if order.nulls_first else 'LAST'}"
        if order.relation is not None:
            embed = next(
                (
                    item
                    for item in query.fields
                    if isinstance(item, Embed) and order.relation in (item.name, item.target)
                ),
                None,
            )
            if embed is None:
                raise RestError(
                    400,
                    "PGRST108",
                    f"'{order.relation}' is not an embedded resource in this request",
                )
            relation = find_relation(table, embed)
            _column(relation.target, order.path)
            key = (
                f'(SELECT o."{order.path.column}" FROM {relation.target.name} AS o'
                f' WHERE o."{relation.far}" = t."{relation.near}")'
            )
            return f"{key} {direction} {nulls}", []
        column = _column(table, order.path)
        name = f't."{column.name}"'
        if not order.path.keys:
            return f"{name} {direction} {nulls}", []
        path = _json_path(order.path)
        if order.path.as_text:
            return f"{_JSON_TEXT.format(c=name, p='?')} {direction} {nulls}", [path, path]
        rank = _JSON_RANK.format(c=name, p="?")
        return (
            f"{rank} {direction} {nulls}, json_extract({name}, ?) {direction}",
            [path, path],
        )


def find_relation(table: Table, embed: Embed) -> Relation:
    """The one foreign key that an embed means. Raises RestError where it is none or several."""
    candidates = _outgoing(table, embed.target) + _incoming(table, embed.target)
    if embed.hint is not None:
        candidates = [
            relation
            for relation in candidates
            if embed.hint == relation.constraint
            or embed.hint == (relation.near if relation.near != "id" else relation.far)
        ]
    own = [relation for relation in candidates if relation.near != "id"]
    if len(candidates) > 1 and embed.target == table.name and len(own) == 1:
        # A table that refers to itself: a column's name means the row referred to.
        candidates = own
    if not candidates:
        raise RestError(
            400,
            "PGRST200",
            f"Could not find a relationship between '{table.name}' and '{embed.target}'"
            " in the schema cache",
            details=f"Searched for a foreign key relationship between '{table.name}' and"
            f" '{embed.target}'"
            + (f" using the hint '{embed.hint}'" if embed.hint else "")
            + " in the schema 'public', but no matches were found.",
        )
    if len(candidates) > 1:
        choices = ", ".join(f"'{embed.target}!{item.constraint}'" for item in candidates)
        raise RestError(
            300,
            "PGRST201",
            "Could not embed because more than one relationship was found for"
            f" '{table.name}' and '{embed.target}'",
            details=[
                {
                    "cardinality": "many-to-one" if item.near != "id" else "one-to-many",
                    "embedding": f"{table.name} with {item.target.name}",
                    "relationship": f"{item.constraint} using {table.name}({item.near})"
                    f" and {item.target.name}({item.far})",
                }
                for item in candidates
            ],
            hint=f"Try changing '{embed.target}' to one of the following: {choices}. Find the"
            " desired relationship in the 'details' key.",
        )
    return candidates[0]


def _outgoing(table: Table, target: str) -> list[Relation]:
    found = []
    for column in table.columns.values():
        if column.references is None or column.references not in TABLES:
            continue
        name = constraint(table.name, column.name, "fkey")
        if target in (column.references, column.name, name):
            found.append(Relation(TABLES[column.references], column.name, "id", True, name))
    return found


def _incoming(table: Table, target: str) -> list[Relation]:
    other = TABLES.get(target)
    if other is None:
        return []
    return [
        Relation(
            other, "id", column.name, column.unique, constraint(other.name, column.name, "fkey")
        )
        for column in other.columns.values()
        if column.references == table.name
    ]


def _column(table: Table, path: Path) -> Column:
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


def _condition(table: Table, alias: str, condition: Condition) -> tuple[str, list[Any]]:
    if isinstance(condition, Logic):
        parts, parameters = [], list[Any]()
        for inner in condition.conditions:
            part, more = _condition(table, alias, inner)
            parts.append(part)
            parameters += more
        joined = f"({f' {condition.operator.upper()} '.join(parts)})"
    else:
        joined, parameters = _filter(_column(table, condition.path), alias, condition)
    return (f"NOT ({joined})" if condition.negated else joined), parameters


def _filter(column: Column, alias: str, condition: Filter) -> tuple[str, list[Any]]:
    name = f'{alias}."{column.name}"'
    if condition.path.keys:
        path = _json_path(condition.path)
        if not condition.path.as_text and condition.operator in _COMPARISONS:
            return _json_comparison(name, path, condition)
        as_text = Column(column.name, "text")
        part, parameters = _plain_filter(_JSON_TEXT.format(c=name, p="?"), as_text, condition)
        return part, [path, path, *parameters]
    return _plain_filter(name, column, condition)


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
    rank_of = _JSON_RANK.format(c="?", p="'$'")
    rank = _JSON_RANK.format(c=name, p="?")
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


def _json_path(path: Path) -> str:
    parts = []
    for key in path.keys:
        if key.lstrip("-").isdigit():
            parts.append(f"[{key}]" if not key.startswith("-") else f"[#{key}]")
        elif '"' in key:
            raise RestError(400, "PGRST100", f'"failed to parse JSON path ({key})"')
        else:
            parts.append(f'."{key}"')
    return "$" + "".join(parts)


def _at(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.lstrip("-").isdigit():
            index = int(key)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value
