"""Checksums of rows and tables: SQLite has none, so it would not detect a flipped bit.

Each row has a checksum, which is compared whenever the row is read. The table `sums` has the number
of rows and the sum of the checksums of each table, which detects lost and outdated rows
(integrity.py).
"""

from __future__ import annotations

import sqlite3
from binascii import crc32
from functools import cache

from lora_tui.errors import DamagedCacheError

TYPE_CHECKING = False
if TYPE_CHECKING:  # `list` waits for this module
    from collections.abc import Iterable, Sequence

_LISTED = {"models": 200, "datasets": 1_000, "jobs": 500, "cost_records": 500}
"""Table → the most rows that SQLite checks in a few milliseconds."""
SUMMED = {
    "models": (
        *("id", "row", "name", "version", "description", "status", "dataset_id", "job_id"),
        *("preset_id", "base_model", "stars", "convergence", "final_loss", "perplexity", "cost"),
        *("duration_hours", "size", "created_at", "updated_at"),
    ),
    "datasets": ("id", "row", "name", "updated_at"),
    "jobs": (
        *("id", "row", "status", "external_job_id", "artifact_id", "completed_at", "updated_at"),
        *("activity", "dataset_id", "preset_id", "base_model", "gpu", "created_at", "cost"),
        *("duration_hours", "loss"),
    ),
    "notifications": ("id", "row", "created_at"),
    "cost_records": (
        *("id", "row", "job_id", "type", "micros", "of_the_run", "moment", "recorded_at"),
    ),
    "curves": ("job_id", "points", "sparkline", "total", "last_timestamp", "last_id"),
}
"""Table → the columns that the checksum of a row covers."""


def checksum(values: Iterable[object]) -> int:
    """The checksum of the values of a row; equal for written and for read values."""
    row = tuple(values)
    return crc32((_row_text(len(row)) % row).encode("utf-8", "surrogatepass"))


@cache
def _row_text(columns: int) -> str:
    """The format of so many values: a quarter faster than to join the text of each."""
    return "\x1f".join(["%s"] * columns)


def columns_of(table: str, alias: str) -> str:
    """SQL: the columns of a table that its checksum covers, and the checksum, for `check_row`."""
    return ", ".join(f"{alias}.{name}" for name in (*SUMMED[table], "sum"))


def matches_checksum(values: Sequence[object]) -> bool:
    """Whether the values of `columns_of` match their checksum; NULLs of a left join do, too."""
    *row, found = values
    return found is None or found == checksum(row)


def check_row(values: Sequence[object]) -> None:
    """Raise DamagedCacheError if the values of `columns_of` do not match their checksum."""
    if not matches_checksum(values):
        raise DamagedCacheError(
            "The cache file is damaged", details="a row in it does not match its checksum"
        )


class keep_sums:  # noqa: N801 - used like a function; contextlib would cost `list` its import
    """Updates the sums of a table for rows that the block writes or deletes.

    Use it inside that transaction.
    """

    def __init__(self, db: sqlite3.Connection, table: str, ids: Iterable[str]) -> None:
        import json

        self._db, self._table, self._ids = db, table, json.dumps(list(ids))

    def __enter__(self) -> None:
        self._before = self._sum()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            rows, total = self._sum()
            add_sum(self._db, self._table, rows - self._before[0], total - self._before[1])

    def _sum(self) -> tuple[int, int]:
        sql = (
            f"SELECT count(*), ifnull(sum(sum), 0) FROM {self._table}"
            " WHERE id IN (SELECT value FROM json_each(?))"
        )
        rows, total = self._db.execute(sql, [self._ids]).fetchone()
        return rows, total


def add_sum(db: sqlite3.Connection, table: str, rows: int, total: int) -> None:
    """Add rows, and the sum of their checksums, to those of a table. Call inside a transaction."""
    sql = "UPDATE sums SET n = n + ?, total = total + ? WHERE name = ?"
    db.execute(sql, [rows, total, table])


def table_sums(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Table → (number of rows, sum of checksums), as stored."""
    return {name: (n, total) for name, n, total in db.execute("SELECT name, n, total FROM sums")}


def find_damaged_index(db: sqlite3.Connection) -> str | None:
    """A sentence about the first damaged index of a small table; None if there is none.

    A damaged index could hide a model or show a wrong order, so small tables are checked whenever
    a cache is opened. Large ones are checked by the next sync (integrity.py).
    """
    kept = table_sums(db)
    for table, most in _LISTED.items():
        if kept[table][0] <= most:
            (verdict,) = db.execute(f"PRAGMA integrity_check({table})").fetchone()
            if verdict != "ok":
                return str(verdict)
    return None


def recompute_sums(db: sqlite3.Connection) -> None:
    """Compute all sums from what is there. Call inside a transaction."""
    db.execute("DELETE FROM sums")
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, columns in SUMMED.items():
        if table not in there:  # a later migration adds it
            continue
        key, total = columns[0], 0
        keys = [row[0] for row in db.execute(f"SELECT {key} FROM {table}")]
        for value in keys:  # one row at a time: a cache may be larger than the memory
            sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = ?"
            found = checksum(db.execute(sql, [value]).fetchone())
            db.execute(f"UPDATE {table} SET sum = ? WHERE {key} = ?", [found, value])
            total += found
        if key == "id":
            row = [table, len(keys), total]
            db.execute("INSERT INTO sums (name, n, total) VALUES (?, ?, ?)", row)
    put_schema_sum(db)


def put_schema_sum(db: sqlite3.Connection) -> None:
    """Store the checksum of the schema. Call at the end of a migration, inside its transaction."""
    db.execute(
        "INSERT OR REPLACE INTO sums (name, n, total) VALUES ('schema', 0, ?)", [schema_sum(db)]
    )


def schema_sum(db: sqlite3.Connection) -> int:
    """The checksum of the schema's SQL."""
    sql = "SELECT sql FROM main.sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
    return checksum(row[0] for row in db.execute(sql))
