"""Which foreign key an embed hangs on."""

from __future__ import annotations

from dataclasses import dataclass

from lora_tui.sandbox.grammar import Embed
from lora_tui.sandbox.rest_errors import RestError
from lora_tui.sandbox.tables import TABLES, Table, constraint


@dataclass(frozen=True)
class Relation:
    """How an embed hangs on its table: rows where `table.near` equals `target.far`."""

    target: Table
    near: str
    far: str
    to_one: bool
    constraint: str


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
