"""Datasets and notifications in the cache, and how their rows are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lora_tui.cache.metadata import ANNOUNCED_BEFORE, get_value, put_value
from lora_tui.cache.sums import SUMMED, check_row, checksum, columns_of, keep_sums
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.json_values import json_text, mapping, parse_json, row_json, text_or_none

if TYPE_CHECKING:  # counting unread notifications does not need the domain
    from lora_tui.domain import Notification, Row


def put_datasets(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace datasets. Call inside a transaction."""
    from lora_tui.cache.model_values import judge_again
    from lora_tui.domain import Dataset

    datasets = [(Dataset.from_row(row), row) for row in rows]
    before = _chats(db, [dataset.id for dataset, _ in datasets])
    put_rows(
        db,
        "datasets",
        [
            (dataset.id, row_json(row), dataset.name, moment_text(row, "updated_at"))
            for dataset, row in datasets
        ],
    )
    for dataset_id in before ^ _chats(db, [dataset.id for dataset, _ in datasets]):
        judge_again(db, dataset_id)


def _chats(db: sqlite3.Connection, ids: Sequence[str]) -> set[str]:
    """Those of these datasets that hold chats, which the second opinion takes into account."""
    from lora_tui.opinion import is_chat_format

    sql = "SELECT id, row FROM datasets WHERE id IN (SELECT value FROM json_each(?))"
    return {
        str(dataset_id)
        for dataset_id, row in db.execute(sql, [json_text(list(ids))])
        if is_chat_format(text_or_none(mapping(row).get("format")))
    }


def put_notifications(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace notifications; keeps `announced`. Call inside a transaction."""
    from lora_tui.domain import Notification

    notices = [(Notification.from_row(row), row) for row in rows]
    put_rows(
        db,
        "notifications",
        [(notice.id, row_json(row), moment_text(row, "created_at")) for notice, row in notices],
        {"read": [int(notice.read) for notice, _ in notices]},
    )
    before = get_value(db, ANNOUNCED_BEFORE)
    if before is not None:
        known = set(parse_json(before))
        mark_announced(db, (notice.id for notice, _ in notices if notice.id in known))


def delete_records(db: sqlite3.Connection, table: str, ids: Sequence[str]) -> None:
    """Delete datasets, jobs, notifications or cost records. Call inside a transaction."""
    with keep_sums(db, table, ids):
        db.executemany(f"DELETE FROM {table} WHERE id = ?", [(row_id,) for row_id in ids])


def put_rows(
    db: sqlite3.Connection,
    table: str,
    values: Sequence[tuple[object, ...]],
    others: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Insert or replace rows of a table; `others` are columns that the checksum does not cover.

    Call inside a transaction.
    """
    more = others or {}
    columns = (*SUMMED[table], "sum", *more)
    sql = (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"
        " ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    )
    with keep_sums(db, table, [str(value[0]) for value in values]):
        db.executemany(
            sql,
            [
                (*value, checksum(value), *(column[place] for column in more.values()))
                for place, value in enumerate(values)
            ],
        )


def unread_ids(db: sqlite3.Connection, limit: int) -> list[str]:
    """The ids of the newest unread notifications."""
    sql = "SELECT id FROM notifications WHERE read = 0 ORDER BY created_at DESC, id LIMIT ?"
    return [str(row[0]) for row in db.execute(sql, [limit])]


def get_notifications(db: sqlite3.Connection, *, limit: int = 200) -> list[Notification]:
    """Notifications: unread ones first, then the newest."""
    from lora_tui.domain import Notification

    sql = (
        f"SELECT read, {columns_of('notifications', 'n')} FROM notifications n"
        " ORDER BY read, created_at DESC, id LIMIT ?"
    )
    return [
        Notification.from_row({**row_of(values), "read": bool(read)})
        for read, *values in db.execute(sql, [limit])
    ]


def unread_count(db: sqlite3.Connection) -> int:
    """The number of unread notifications."""
    (total,) = db.execute("SELECT count(*) FROM notifications WHERE read = 0").fetchone()
    return int(total)


def unannounced(db: sqlite3.Connection) -> list[Notification]:
    """Unread notifications that were not shown as toasts yet, the oldest first."""
    sql = (
        f"SELECT {columns_of('notifications', 'n')} FROM notifications n"
        " WHERE read = 0 AND announced = 0 ORDER BY created_at, id"
    )
    rows = db.execute(sql).fetchall()
    if not rows:
        return []
    from lora_tui.domain import Notification

    return [Notification.from_row(row_of(values)) for values in rows]


def mark_announced(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Record that these were shown as toasts. Call inside a transaction."""
    db.executemany("UPDATE notifications SET announced = 1 WHERE id = ?", [(i,) for i in ids])


def read_announced(db: sqlite3.Connection) -> list[str]:
    """The ids of the notifications that were shown as toasts. Raises sqlite3.Error."""
    rows = db.execute("SELECT id FROM notifications WHERE announced = 1 AND read = 0")
    return [str(row[0]) for row in rows]


def keep_announced(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Keep the result of `read_announced` for the next sync. Call inside a transaction."""
    put_value(db, ANNOUNCED_BEFORE, json_text(list(ids)) if ids else None)


def mark_read(db: sqlite3.Connection, notification_id: str) -> None:
    """Mark one as read. Call inside a transaction."""
    db.execute("UPDATE notifications SET read = 1 WHERE id = ?", [notification_id])


def row_of(values: Sequence[Any]) -> Row:
    """The backend's row from the values of `columns_of`. Raises DamagedCacheError."""
    check_row(values)
    row: Row = parse_json(values[1])
    return row


def moment_text(row: Row, key: str) -> str | None:
    """A timestamp of a row in the form of `timestamp_text`; None where it is none."""
    moment = parse_timestamp(row.get(key))
    return None if moment is None else timestamp_text(moment)
