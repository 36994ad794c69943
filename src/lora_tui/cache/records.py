"""Datasets, jobs and notifications in the cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.json_text import parsed
from lora_tui.json_values import written

if TYPE_CHECKING:  # parsing rows is what an unread count need not load
    from lora_tui.domain import Job, Notification, Row


def put_datasets(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace datasets. Call inside a transaction."""
    from lora_tui.domain import Dataset

    db.executemany(
        "INSERT INTO datasets (id, row, name, updated_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET row = excluded.row, name = excluded.name,"
        " updated_at = excluded.updated_at",
        [
            (dataset.id, written(row), dataset.name, _moment(row, "updated_at"))
            for row in rows
            for dataset in (Dataset.from_row(row),)
        ],
    )


def put_jobs(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace training jobs. Call inside a transaction."""
    from lora_tui.domain import Job

    db.executemany(
        "INSERT INTO jobs (id, row, status, external_job_id, artifact_id, completed_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " row = excluded.row, status = excluded.status, artifact_id = excluded.artifact_id,"
        " external_job_id = excluded.external_job_id, completed_at = excluded.completed_at,"
        " updated_at = excluded.updated_at",
        [
            (
                job.id,
                written(row),
                job.status,
                job.external_job_id,
                job.artifact_id,
                _moment(row, "completed_at"),
                _moment(row, "updated_at"),
            )
            for row in rows
            for job in (Job.from_row(row),)
        ],
    )


def put_notifications(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace notifications; whether one was announced stays. In a transaction."""
    from lora_tui.domain import Notification

    db.executemany(
        "INSERT INTO notifications (id, row, read, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET row = excluded.row, read = excluded.read",
        [
            (notice.id, written(row), int(notice.read), _moment(row, "created_at"))
            for row in rows
            for notice in (Notification.from_row(row),)
        ],
    )


def delete_records(db: sqlite3.Connection, table: str, ids: Sequence[str]) -> None:
    """Forget datasets, jobs or notifications. Call inside a transaction."""
    db.executemany(f"DELETE FROM {table} WHERE id = ?", [(row_id,) for row_id in ids])


def unread_ids(db: sqlite3.Connection, limit: int) -> list[str]:
    """The newest unread notifications."""
    sql = "SELECT id FROM notifications WHERE read = 0 ORDER BY created_at DESC, id LIMIT ?"
    return [str(row[0]) for row in db.execute(sql, [limit])]


def jobs_without_model(db: sqlite3.Connection, *, limit: int) -> list[Job]:
    """Completed jobs that nobody has made a model of, the longest waiting first."""
    from lora_tui.domain import Job

    sql = (
        "SELECT j.row, d.name FROM jobs j"
        " LEFT JOIN datasets d ON json_valid(j.row) AND d.id = json_extract(j.row, '$.dataset_id')"
        " WHERE j.status = 'completed' AND j.artifact_id IS NULL AND j.external_job_id IS NOT NULL"
        " ORDER BY j.completed_at, j.id LIMIT ?"
    )
    return [
        Job.from_row({**parsed(row), "dataset": {"name": name} if name else None})
        for row, name in db.execute(sql, [limit])
    ]


def get_notifications(db: sqlite3.Connection, *, limit: int = 200) -> list[Notification]:
    """Notifications: unread ones first, then the newest."""
    from lora_tui.domain import Notification

    sql = "SELECT row, read FROM notifications ORDER BY read, created_at DESC, id LIMIT ?"
    return [
        Notification.from_row({**parsed(row), "read": bool(read)})
        for row, read in db.execute(sql, [limit])
    ]


def unread_count(db: sqlite3.Connection) -> int:
    """How many notifications are unread."""
    (total,) = db.execute("SELECT count(*) FROM notifications WHERE read = 0").fetchone()
    return int(total)


def unannounced(db: sqlite3.Connection) -> list[Notification]:
    """Unread notifications that no toast has shown yet, the oldest first."""
    sql = "SELECT row FROM notifications WHERE read = 0 AND announced = 0 ORDER BY created_at, id"
    rows = db.execute(sql).fetchall()
    if not rows:
        return []
    from lora_tui.domain import Notification

    return [Notification.from_row(parsed(row)) for (row,) in rows]


def mark_announced(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Remember that these were shown as toasts. Call inside a transaction."""
    db.executemany("UPDATE notifications SET announced = 1 WHERE id = ?", [(i,) for i in ids])


def mark_read(db: sqlite3.Connection, notification_id: str) -> None:
    """Mark one as read. Call inside a transaction."""
    db.execute("UPDATE notifications SET read = 1 WHERE id = ?", [notification_id])


def _moment(row: Row, key: str) -> str | None:
    moment = parse_timestamp(row.get(key))
    return None if moment is None else timestamp_text(moment)
