"""One's own models that are marked as deleted in the project: they can be listed and restored.

No list, search, count or page shows them. They are kept as the backend's rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from lora_tui.cache.search import MOST_NAMED, id_prefix
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.json_values import identifier, mapping, parse_json, row_json, text_or_none

_UNNAMED: Final = "Unnamed model"
_COLUMNS: Final = "id, name, deleted_at, updated_at"


class DeletedModel(NamedTuple):
    """A model that was deleted, and can be restored."""

    id: str
    name: str
    deleted_at: datetime | None
    """None where the backend's value is no time."""
    updated_at: str
    """The state of the row, as the cache writes times."""


def put_deleted(db: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the backend's rows of deleted models. Call inside a transaction."""
    db.executemany(
        "INSERT OR REPLACE INTO deleted_models (id, row, name, deleted_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?)",
        [
            (
                identifier(row.get("id")),
                row_json(row),
                text_or_none(row.get("name")) or _UNNAMED,
                _time(row.get("deleted_at")),
                _time(row.get("updated_at")),
            )
            for row in rows
        ],
    )


def forget_deleted(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Remove these models, which are restored or gone for good. Call inside a transaction."""
    if ids and _has_any(db):
        sql = "DELETE FROM deleted_models WHERE id IN (SELECT value FROM json_each(?))"
        db.execute(sql, [json.dumps(list(ids))])


def deleted_stamps(db: sqlite3.Connection, ids: Sequence[str] | None = None) -> dict[str, str]:
    """Id → state of the deleted models that are known: of all, or of these ids."""
    sql = "SELECT id, coalesce(updated_at, '') FROM deleted_models"
    if ids is None:
        found = db.execute(sql)
    else:
        sql += " WHERE id IN (SELECT value FROM json_each(?))"
        found = db.execute(sql, [json.dumps(list(ids))])
    return {str(row[0]): str(row[1]) for row in found}


def select_deleted(db: sqlite3.Connection) -> list[DeletedModel]:
    """All of them, the newest deletion first."""
    sql = f"SELECT {_COLUMNS} FROM deleted_models ORDER BY deleted_at DESC, id"
    return [_deleted(row) for row in db.execute(sql)]


def select_deleted_rows(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """The backend's rows of all of them, the newest deletion first."""
    sql = "SELECT row FROM deleted_models ORDER BY deleted_at DESC, id"
    return [dict(mapping(parse_json(row[0]))) for row in db.execute(sql)]


def deleted_row(db: sqlite3.Connection, model_id: str) -> dict[str, Any] | None:
    """The backend's row of one of them; None where it is not known as deleted."""
    found = db.execute("SELECT row FROM deleted_models WHERE id = ?", [model_id]).fetchone()
    return None if found is None else dict(mapping(parse_json(found[0])))


def state_of(db: sqlite3.Connection, model_id: str) -> str:
    """The `updated_at` of a model, deleted or not; empty where it is not known."""
    sql = (
        "SELECT updated_at FROM models WHERE id = ?1"
        " UNION ALL SELECT updated_at FROM deleted_models WHERE id = ?1"
    )
    found = db.execute(sql, [model_id]).fetchone()
    return str(found[0] or "") if found else ""


def find_deleted(db: sqlite3.Connection, reference: str) -> list[DeletedModel]:
    """The deleted models that `reference` names: by an id, the beginning of one, an exact name.

    At most `MOST_NAMED`, the newest deletion first.
    """
    beginning = id_prefix(reference)
    attempts = [("id = ?", beginning or reference.strip().lower()), ("name = ?", reference)]
    if beginning is not None:
        attempts.insert(1, ("id >= ? AND id < ? || 'g'", beginning))
    for condition, value in attempts:
        sql = (
            f"SELECT {_COLUMNS} FROM deleted_models WHERE {condition}"
            f" ORDER BY deleted_at DESC, id LIMIT {MOST_NAMED}"
        )
        found = db.execute(sql, [value] * condition.count("?")).fetchall()
        if found:
            return [_deleted(row) for row in found]
    return []


def _has_any(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM deleted_models LIMIT 1").fetchone() is not None


def _deleted(row: Sequence[Any]) -> DeletedModel:
    return DeletedModel(str(row[0]), str(row[1]), parse_timestamp(row[2]), str(row[3] or ""))


def _time(value: object) -> str:
    moment = parse_timestamp(value)
    return timestamp_text(moment) if moment else ""
