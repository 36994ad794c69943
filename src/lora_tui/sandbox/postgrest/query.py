"""A parsed query on the tables as parameterised SQLite SQL, embeds included.

Row-level security and privileges are conditions of the same SQL: who sees and who changes which
rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.sandbox.backend import Caller
from lora_tui.sandbox.database import Database
from lora_tui.sandbox.postgrest.conditions import (
    JSON_RANK,
    JSON_TEXT,
    column_of,
    condition_sql,
    json_path,
)
from lora_tui.sandbox.postgrest.errors import RestError
from lora_tui.sandbox.postgrest.grammar import Condition, Embed, Field, Filter, Order, Path, Query
from lora_tui.sandbox.postgrest.own_models import OPENED
from lora_tui.sandbox.postgrest.tables import TABLES, Column, Table, constraint
from lora_tui.sandbox.postgrest.values import Dialect, to_json, to_text

_OWNED: Final = frozenset(("datasets", "training_jobs", "model_artifacts"))
_OPENED: Final = {"notifications": frozenset(("read",)), "model_artifacts": OPENED}
"""The columns that a user changes in own rows where our migration has been applied."""
_OWN_ROW: Final = "{t}.user_id = ?"
_OWN_JOB: Final = (
    "EXISTS (SELECT 1 FROM training_jobs AS own WHERE own.id = {t}.job_id AND own.user_id = ?)"
)

SQL = tuple[str, list[str]]


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
        """How many rows match, without limit and offset."""
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
        """These rows in this order as the query selects them, without row-level security."""
        found = self._fetch(
            table,
            query,
            f' WHERE t."{table.key}" IN (SELECT value FROM json_each(?))',
            [json.dumps(ids)],
        )
        by_id = {row[table.key]: row for row in found}
        return self._shape(table, query, [by_id[key] for key in ids if key in by_id])

    def check(self, table: Table, query: Query) -> None:
        """Raise RestError if the query names an unknown column or relation."""
        for item in query.fields:
            if isinstance(item, Embed):
                relation = find_relation(table, item)
                self.check(relation.target, item.query)
            else:
                column_of(table, item.path)

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
            if not relation.to_one:
                family = family[embed.query.offset :]
                family = family if limit is None else family[:limit]
            if embed.spread:
                out.update(_spread(relation, embed, family))
            elif relation.to_one:
                out[embed.name] = family[0] if family else None
            else:
                out[embed.name] = family

    def _where(self, table: Table, alias: str, query: Query) -> tuple[str, list[Any]]:
        policy, policy_parameters = visible(table.name, alias, self.caller, migrated=self.migrated)
        parts, parameters = [policy], list[Any](policy_parameters)
        for condition in query.conditions:
            part, more = self._emptiness(table, alias, query, condition) or condition_sql(
                table, alias, condition
            )
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

    def _emptiness(
        self, table: Table, alias: str, query: Query, condition: Condition
    ) -> tuple[str, list[Any]] | None:
        """`embed=is.null`, the rows without one, and `embed=not.is.null`; None for any other."""
        if not isinstance(condition, Filter) or condition.operator != "is":
            return None
        name = condition.path.column
        embed = next(
            (item for item in query.fields if isinstance(item, Embed) and item.name == name), None
        )
        if embed is None or name in table.columns or condition.value != "null":
            return None
        relation = find_relation(table, embed)
        inner_alias = f"{alias}_{name}"
        inner, more = self._where(relation.target, inner_alias, embed.query)
        exists = (
            f"EXISTS (SELECT 1 FROM {relation.target.name} AS {inner_alias}{inner}"
            f' AND {inner_alias}."{relation.far}" = {alias}."{relation.near}")'
        )
        return (exists if condition.negated else f"NOT {exists}"), more

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
            column_of(relation.target, order.path)
            key = (
                f'(SELECT o."{order.path.column}" FROM {relation.target.name} AS o'
                f' WHERE o."{relation.far}" = t."{relation.near}")'
            )
            return f"{key} {direction} {nulls}", []
        column = column_of(table, order.path)
        name = f't."{column.name}"'
        if not order.path.keys:
            return f"{name} {direction} {nulls}", []
        path = json_path(order.path)
        if order.path.as_text:
            return f"{JSON_TEXT.format(c=name, p='?')} {direction} {nulls}", [path, path]
        rank = JSON_RANK.format(c=name, p="?")
        return (
            f"{rank} {direction} {nulls}, json_extract({name}, ?) {direction}",
            [path, path],
        )


def visible(table: str, alias: str, caller: Caller, *, migrated: bool) -> SQL:
    """The SQL condition, with its parameters, that a row must meet to be seen."""
    if caller.is_service or not _secured(table, migrated):
        return "1", []
    if caller.user_id is None:
        return "0", []
    condition = _OWN_JOB if table == "metrics_points" else _OWN_ROW
    return condition.format(t=alias), [caller.user_id]


def may_insert(table: str, caller: Caller, *, migrated: bool) -> bool:
    """Whether a policy lets this caller insert at all."""
    return caller.is_service or not _secured(table, migrated)


def may_delete(table: str, caller: Caller, *, migrated: bool) -> bool:
    """Whether this caller may delete rows; if not, a delete finds none."""
    return caller.is_service or not _secured(table, migrated)


def may_update(table: str, caller: Caller, *, migrated: bool) -> frozenset[str] | None:
    """The columns that this caller may update in visible rows; None for all.

    The empty set: no policy, so an update finds no rows.
    """
    if caller.is_service or not _secured(table, migrated):
        return None
    return _OPENED.get(table, frozenset()) if migrated else frozenset()


def _spread(
    relation: Relation, embed: Embed, family: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """An embed's columns for the outer row: single values, or for many embedded rows lists."""
    names: list[str] = []
    for item in embed.query.fields:
        everything = isinstance(item, Field) and item.path.column == "*"
        names += relation.target.columns if everything else [item.name]
    if relation.to_one:
        return {name: family[0][name] if family else None for name in names}
    return {name: [row[name] for row in family] for name in names}


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


@dataclass(frozen=True)
class Relation:
    """How an embed is joined to its table: `table.near` equals `target.far`."""

    target: Table
    near: str
    far: str
    to_one: bool
    constraint: str


def find_relation(table: Table, embed: Embed) -> Relation:
    """The foreign key of an embed. Raises RestError if there are none or several."""
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


def _secured(table: str, migrated: bool) -> bool:
    return migrated or table in _OWNED
