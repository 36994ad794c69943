"""Finished downloads in the cache: which models are complete on this disk, and where.

library/disk_check.py compares these records with the disk and updates them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_tui import clock
from lora_tui.cache.transfer_queue import (
    FETCHED,
    Checked,
    FileRequest,
    Transfer,
    TransferState,
    queue_of,
    transfers_of,
)
from lora_tui.clock import timestamp_text


def put_downloaded(db: sqlite3.Connection, model_id: str, directory: Path) -> None:
    """Record that all files of a model are in `directory`. Call inside a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO library (model_id, directory, completed_at) VALUES (?, ?, ?)",
        [model_id, str(directory), timestamp_text(clock.now())],
    )


def put_existing_files(db: sqlite3.Connection, model_id: str, files: Sequence[FileRequest]) -> None:
    """Record files that were downloaded with an earlier cache. Call inside a transaction."""
    (last,) = db.execute("SELECT coalesce(max(position), 0) FROM transfers").fetchone()
    moment = timestamp_text(clock.now())
    for position, file in enumerate(files, start=last + 1):
        db.execute(
            "INSERT OR IGNORE INTO transfers (model_id, file, object_path, target, state,"
            " bytes_done, bytes_total, sha256, checked, force, position, attempts, created_at,"
            " updated_at)"
            " VALUES (?, ?, ?, ?, 'done', ?, ?, ?, ?, 0, ?, 0, ?, ?)",
            [
                model_id,
                file.file,
                file.object_path,
                str(file.target),
                file.size or 0,
                file.size,
                file.sha256,
                file.checked,
                position,
                moment,
                moment,
            ],
        )


def delete_downloaded(db: sqlite3.Connection, model_id: str, directory: Path) -> None:
    """Delete the records of a copy that was removed from the disk. Call inside a transaction.

    Records of other copies of the model stay.
    """
    for row in transfers_of(db, model_id):
        if row.state in FETCHED and _same_place(row.target.parent, directory):
            db.execute("DELETE FROM transfers WHERE id = ?", [row.id])
    noted = downloaded_models(db).get(model_id)
    if noted is not None and _same_place(noted, directory):
        db.execute("DELETE FROM library WHERE model_id = ?", [model_id])


def _same_place(one: Path, other: Path) -> bool:
    """Whether two paths name the same directory, which need not exist any more."""
    return os.path.realpath(one) == os.path.realpath(other)


def downloaded_to(db: sqlite3.Connection, model_id: str) -> Path | None:
    """The directory that has all files of the model; None if there is none."""
    sql = "SELECT directory FROM library WHERE model_id = ? AND intact"
    found = db.execute(sql, [model_id]).fetchone()
    return None if found is None else Path(found[0])


def downloaded_models(db: sqlite3.Connection) -> dict[str, Path]:
    """Model id → directory, for all models that were ever downloaded completely."""
    rows = db.execute("SELECT model_id, directory FROM library ORDER BY completed_at")
    return {model_id: Path(directory) for model_id, directory in rows}


def downloaded_directories(db: sqlite3.Connection) -> list[Path]:
    """Every directory with downloaded files; a model may have copies in several."""
    copies = [row.target.parent for row in downloaded_files(db)]
    return list(dict.fromkeys([*downloaded_models(db).values(), *copies]))


def downloaded_files(db: sqlite3.Connection) -> list[Transfer]:
    """Every file that was downloaded, including those that are missing or changed now."""
    return [row for row in queue_of(db) if row.state in FETCHED]


def put_file_state(
    db: sqlite3.Connection, row: Transfer, state: TransferState, modified: int | None
) -> None:
    """Record the state of a file on the disk, unless its row has changed. In a transaction."""
    db.execute(
        "UPDATE transfers SET state = ?, modified = ?"
        " WHERE id = ? AND state = ? AND sha256 IS ? AND owner IS NULL",
        [state.value, modified, row.id, row.state.value, row.sha256],
    )


def put_intact(db: sqlite3.Connection, model_id: str, intact: bool) -> None:
    """Record whether all files of the model are still there. Call inside a transaction."""
    db.execute("UPDATE library SET intact = ? WHERE model_id = ?", [intact, model_id])


def read_records(db: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """The rows of a cache of an older schema that a sync can't restore: downloads and the owner.

    Table → rows, for `put_records`. Raises sqlite3.Error.
    """
    records: dict[str, list[dict[str, Any]]] = {}
    for table, condition in (
        ("library", "1"),
        ("transfers", "1 ORDER BY id DESC"),  # the last row of a target wins
        ("facts", "key LIKE 'owner.%'"),
    ):
        found = db.execute(f"SELECT * FROM {table} WHERE {condition}")
        names = [column[0] for column in found.description]
        records[table] = [dict(zip(names, row, strict=True)) for row in found]
    for row in records["transfers"]:
        row["position"], row["force"] = row.get("position", row["id"]), row.get("force", 0)
        if row["state"] in [state.value for state in FETCHED]:
            row.setdefault("checked", _checked_by_older_version(row))
    return records


def put_records(db: sqlite3.Connection, records: Mapping[str, list[dict[str, Any]]]) -> None:
    """Insert rows of another cache by the columns that both have. Call inside a transaction.

    Skips rows with values of a wrong type, and rows that exist already.
    """
    for table, rows in records.items():
        types = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({table})")}
        for row in rows:
            if any(not _fits(row[name], types[name]) for name in row if name in types):
                continue
            names = [name for name in row if name in types and (table, name) != ("transfers", "id")]
            db.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(names)})"
                f" VALUES ({', '.join('?' for _ in names)})",
                [row[name] for name in names],
            )


def _checked_by_older_version(row: Mapping[str, Any]) -> str:
    """How an older version, which did not record it, has verified a file."""
    if row.get("expected_sha256") is not None:
        return Checked.SHA256.value
    has_structure = str(row["file"]).endswith((".safetensors", ".json"))
    return (Checked.STRUCTURE if has_structure else Checked.LENGTH).value


def _fits(value: object, declared: str) -> bool:
    """Whether the value has the column's declared type."""
    return value is None or isinstance(value, int if declared == "INTEGER" else str)
