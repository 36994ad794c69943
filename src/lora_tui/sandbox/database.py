"""The sandbox's SQLite file: one connection, one lock, short transactions."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

Parameters = Sequence[Any]
LAYOUT: Final = 8
"""Of the tables and their first rows; a state with another number is replaced."""


class Database:
    """Reads and writes from any thread; each call holds the lock until its rows are fetched."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = _as_dict
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        for name, arguments, function in (
            ("pg_like", 3, _like),
            ("pg_match", 3, _match),
            ("pg_json_contains", 2, _json_contains),
        ):
            self._connection.create_function(name, arguments, function, deterministic=True)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        with self._lock:
            row: dict[str, Any] | None = self._connection.execute(sql, parameters).fetchone()
            return row

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement; the number of rows that it changed."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[Parameters]) -> None:
        """Insert many rows of ready values, in the order of `columns`."""
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        with self._lock:
            self._connection.executemany(
                f'INSERT INTO "{table}" ({names}) VALUES ({marks})',
                rows,
            )

    @contextmanager
    def transaction(self, *, check_references: bool = True) -> Iterator[None]:
        """Commit all or nothing. Seeding needs `check_references=False`: tables form a cycle."""
        with self._lock:
            if not check_references:
                self._connection.execute("PRAGMA foreign_keys = OFF")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            finally:
                if not check_references:
                    self._connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Close the file; later calls raise `sqlite3.ProgrammingError`."""
        with self._lock:
            self._connection.close()


def has_other_layout(file: Path) -> bool:
    """Whether the file was written by a version of the program with another LAYOUT."""
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection, suppress(sqlite3.DatabaseError):
        return bool(connection.execute("PRAGMA user_version").fetchone() != (LAYOUT,))
    return False


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _like(value: object, pattern: str, insensitive: int) -> int | None:
    """PostgreSQL's LIKE, or ILIKE, which ignores case in every script."""
    if value is None:
        return None
    return 1 if _like_expression(pattern, bool(insensitive)).fullmatch(str(value)) else 0


def _match(value: object, pattern: str, insensitive: int) -> int | None:
    """PostgreSQL's `~` and `~*`."""
    if value is None:
        return None
    return int(re.search(pattern, str(value), re.IGNORECASE if insensitive else 0) is not None)


def _json_contains(whole: str | None, part: str | None) -> int | None:
    """PostgreSQL's `whole @> part`, both as JSON text."""
    if whole is None or part is None:
        return None
    holder, held = json.loads(whole), json.loads(part)
    if isinstance(holder, list) and not isinstance(held, list | dict):
        held = [held]
    return int(_contains(holder, held))


def _contains(whole: Any, part: Any) -> bool:
    match whole, part:
        case dict(), dict():
            return all(key in whole and _contains(whole[key], part[key]) for key in part)
        case list(), list():
            return all(any(_contains(one, other) for one in whole) for other in part)
        case _:
            return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)


@lru_cache(maxsize=256)
def _like_expression(pattern: str, insensitive: bool) -> re.Pattern[str]:
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        elif character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if insensitive else 0))
