"""Inserts, updates and deletes of the tables, with PostgreSQL's constraints and refusals."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from lora_tui.sandbox.backend import Backend, Caller
from lora_tui.sandbox.postgrest.errors import RestError, duplicate, forbidden, unknown_column
from lora_tui.sandbox.postgrest.grammar import Query
from lora_tui.sandbox.postgrest.own_models import guarded
from lora_tui.sandbox.postgrest.query import Reader, may_delete, may_insert, may_update
from lora_tui.sandbox.postgrest.tables import NEW_ID, NOW, Column, Table, constraint
from lora_tui.sandbox.postgrest.values import to_sql, to_text


class Writer:
    """Changes rows for one caller; run it inside a transaction."""

    def __init__(self, backend: Backend, caller: Caller, reader: Reader) -> None:
        self._backend = backend
        self._database = backend.database
        self._caller = caller
        self._reader = reader

    def insert(
        self,
        table: Table,
        query: Query,
        body: Any,
        resolution: str | None,
        *,
        missing_as_default: bool = False,
    ) -> list[str]:
        """Insert one object or a list of them; the ids of the rows written. Raises RestError.

        `resolution` is `merge-duplicates`, `ignore-duplicates` or None. A column that the query
        names and a row lacks becomes null, or the column's default.
        """
        if not may_insert(table.name, self._caller, migrated=self._backend.migrated):
            raise forbidden(table.name)
        conflict = query.on_conflict or (table.key,)
        for name in conflict:
            column = table.columns.get(name)
            if column is None:
                raise unknown_column(table.name, name)
            if resolution and not (column.unique or column.name == table.key):
                raise RestError(
                    400,
                    "42P10",
                    "there is no unique or exclusion constraint matching the ON CONFLICT"
                    " specification",
                )
        moment = self._backend.timestamp()
        written: list[str] = []
        for row in _objects(table, body, query.columns, missing_as_default):
            values = {name: to_sql(table.columns[name], value) for name, value in row.items()}
            existing = self._existing(table, conflict, values) if resolution else None
            if existing is not None:
                if resolution == "merge-duplicates":
                    self._update_row(table, existing, values, moment)
                    written.append(existing)
                continue
            for column in table.columns.values():
                if column.name not in values:
                    values[column.name] = _default(column, moment)
            self._check(table, values)
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join("?" * len(values))
            self._run(
                table,
                values,
                f"INSERT INTO {table.name} ({names}) VALUES ({marks})",
                list(values.values()),
            )
            written.append(values[table.key])
        return written

    def update(self, table: Table, query: Query, body: Any) -> list[str]:
        """Update the rows that match; their ids, in order. Raises RestError."""
        if not isinstance(body, Mapping):
            raise RestError(400, "PGRST102", "Empty or invalid json")
        allowed = may_update(table.name, self._caller, migrated=self._backend.migrated)
        if self._caller.user_id is None and allowed:
            raise RestError(403, "42501", f"permission denied for table {table.name}")
        unknown = [name for name in body if name not in table.columns]
        if unknown:
            raise _not_in_cache(table, unknown[0])
        if allowed and set(body) - allowed:
            raise RestError(403, "42501", f"permission denied for table {table.name}")
        _require_where(query, "UPDATE")
        if allowed is not None and not allowed:
            return []
        values = {name: to_sql(table.columns[name], value) for name, value in body.items()}
        moment = self._backend.timestamp()
        ids = self._matching(table, query)
        guards = table.name == "model_artifacts" and not self._caller.is_service
        if values:
            for row_id in ids:
                allowed_values = values
                if guards:
                    sql = f'SELECT * FROM {table.name} WHERE "{table.key}" = ?'
                    before = self._database.row(sql, [row_id])
                    allowed_values = guarded(dict(before or {}), values, moment)
                self._update_row(table, row_id, allowed_values, moment)
        return ids

    def delete(self, table: Table, query: Query) -> list[str]:
        """Delete the matching rows that the caller may delete; their ids. Raises RestError."""
        _require_where(query, "DELETE")
        if not may_delete(table.name, self._caller, migrated=self._backend.migrated):
            return []
        return self._matching(table, query)

    def delete_rows(self, table: Table, ids: Sequence[str]) -> None:
        """Delete these rows. Raises RestError where another table still refers to one."""
        for row_id in ids:
            try:
                self._database.execute(
                    f'DELETE FROM {table.name} WHERE "{table.key}" = ?', (row_id,)
                )
            except sqlite3.IntegrityError:
                raise RestError(
                    409,
                    "23503",
                    f'update or delete on table "{table.name}" violates foreign key constraint',
                    details=f"Key ({table.key})=({row_id}) is still referenced from another table.",
                ) from None

    def _matching(self, table: Table, query: Query) -> list[str]:
        where, parameters = self._reader.where(table, query)
        rows = self._database.rows(
            f'SELECT t."{table.key}" AS key FROM {table.name} AS t{where}', parameters
        )
        return [row["key"] for row in rows]

    def _existing(
        self, table: Table, conflict: Sequence[str], values: Mapping[str, Any]
    ) -> str | None:
        if any(values.get(name) is None for name in conflict):
            return None
        test = " AND ".join(f'"{name}" = ?' for name in conflict)
        row = self._database.row(
            f'SELECT "{table.key}" AS key FROM {table.name} WHERE {test}',
            [values[name] for name in conflict],
        )
        return None if row is None else row["key"]

    def _update_row(
        self, table: Table, row_id: str, values: Mapping[str, Any], moment: str
    ) -> None:
        changed = dict(values)
        if table.touched:
            changed["updated_at"] = moment
        self._check(table, changed)
        assignments = ", ".join(f'"{name}" = ?' for name in changed)
        self._run(
            table,
            changed,
            f'UPDATE {table.name} SET {assignments} WHERE "{table.key}" = ?',
            [*changed.values(), row_id],
        )

    def _check(self, table: Table, values: Mapping[str, Any]) -> None:
        """Check the constraints in PostgreSQL's order; SQLite's own messages say too little."""
        for name, value in values.items():
            column = table.columns[name]
            if value is None:
                if column.required:
                    shown = ", ".join(
                        "null" if item is None else str(item) for item in values.values()
                    )
                    raise RestError(
                        400,
                        "23502",
                        f'null value in column "{name}" of relation "{table.name}" violates'
                        " not-null constraint",
                        details=f"Failing row contains ({shown}).",
                    )
                continue
            if column.choices and value not in column.choices:
                rule = constraint(table.name, name, "check")
                raise RestError(
                    400,
                    "23514",
                    f'new row for relation "{table.name}" violates check constraint "{rule}"',
                )
        for name, value in values.items():
            column = table.columns[name]
            if value is None or column.references is None:
                continue
            found = self._database.row(f"SELECT 1 FROM {column.references} WHERE id = ?", (value,))
            if found is None and not (
                column.references == table.name and value == values.get(table.key)
            ):
                rule = constraint(table.name, name, "fkey")
                target = "users" if column.references == "auth_users" else column.references
                raise RestError(
                    409,
                    "23503",
                    f'insert or update on table "{table.name}" violates foreign key constraint'
                    f' "{rule}"',
                    details=f'Key ({name})=({value}) is not present in table "{target}".',
                )

    def _run(
        self, table: Table, values: Mapping[str, Any], sql: str, parameters: Sequence[Any]
    ) -> None:
        try:
            self._database.execute(sql, parameters)
        except sqlite3.IntegrityError as error:
            kind, _, where = str(error).partition(": ")
            if not kind.startswith("UNIQUE"):
                raise
            name = where.rpartition(".")[2]
            suffix = "pkey" if name == table.key else "key"
            column = table.columns[name]
            raise duplicate(
                constraint(table.name, name, suffix), [name], [to_text(column, values[name])]
            ) from None


def _objects(
    table: Table, body: Any, columns: Sequence[str] | None, missing_as_default: bool
) -> list[dict[str, Any]]:
    rows = body if isinstance(body, list) else [body]
    if not all(isinstance(row, Mapping) for row in rows):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    if columns is not None:
        rows = [
            {name: row.get(name) for name in columns if name in row or not missing_as_default}
            for row in rows
        ]
        for name in columns:
            if name not in table.columns:
                raise _not_in_cache(table, name)
    elif any(row.keys() != rows[0].keys() for row in rows):
        raise RestError(400, "PGRST102", "All object keys must match")
    for row in rows[:1]:
        for name in row:
            if name not in table.columns:
                raise _not_in_cache(table, name)
    return [dict(row) for row in rows]


def _not_in_cache(table: Table, name: str) -> RestError:
    text = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
    return RestError(400, "PGRST204", text)


def _require_where(query: Query, statement: str) -> None:
    if not query.conditions:
        raise RestError(400, "21000", f"{statement} requires a WHERE clause")


def _default(column: Column, moment: str) -> Any:
    if column.default == NOW:
        return moment
    return str(uuid.uuid4()) if column.default == NEW_ID else column.default
