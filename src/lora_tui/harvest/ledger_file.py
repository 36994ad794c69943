"""The SQLite file of the ledger: reads and transactions that survive damage and a full disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from lora_tui.files import make_private_directory
from lora_tui.harvest.ledger_schema import VALID_VALUES, open_in_memory, open_ledger_file
from lora_tui.processes import database_writer
from lora_tui.sqlite_file import database_error, database_error_reason, sqlite_code

SHORT_WAIT_MS: Final = 100
"""Milliseconds to wait for a file that another process has held before."""
_log: Final = logging.getLogger("lora_tui.harvest")


class LedgerFile:
    """An open file. A write that the disk refuses is logged and dropped; the harvest continues."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is made where it is missing or damaged. Raises DiskError."""
        self.path = path
        self._lock = threading.RLock()
        self._patient, self._wait = True, 0
        try:
            make_private_directory(path.parent)
            self._db = open_ledger_file(path)
        except (OSError, sqlite3.Error) as error:
            raise database_error(
                error,
                "The harvest's state can't be kept",
                path,
                instead="set LORA_TUI_HOME to another directory",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _reset_damaged(self) -> None:
        """Delete rows with invalid values, which a failing disk may leave."""
        for table, values in VALID_VALUES.items():
            wrong = f"NOT ({' AND '.join(values)})"
            query = f"SELECT rowid FROM {table} WHERE {wrong}"  # noqa: S608 - our own words
            rows = self._read(query)
            if not rows:
                continue
            with self._writing() as db:
                db.executemany(
                    f"DELETE FROM {table} WHERE rowid = ?",  # noqa: S608 - our own words
                    [(row["rowid"],) for row in rows],
                )
            _log.warning(
                "%d damaged entries of the harvest's state were reset: %s; their jobs begin anew",
                len(rows),
                self.path,
            )

    def _read(self, sql: str, *values: int | str) -> list[sqlite3.Row]:
        """All rows; a file that was damaged meanwhile is replaced. Raises DiskError."""
        with self._lock:
            try:
                try:
                    return self._db.execute(sql, values).fetchall()
                except sqlite3.DatabaseError as error:
                    if isinstance(error, (sqlite3.OperationalError, sqlite3.ProgrammingError)):
                        raise
                    self._db.close()
                    self._db = open_ledger_file(self.path)
                    return self._db.execute(sql, values).fetchall()
            except (OSError, sqlite3.Error) as error:
                raise database_error(
                    error,
                    "The harvest's state can't be read",
                    self.path,
                    instead="move that file away: losing it loses no model",
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; where the file can't be written, one of a database in memory."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._set_patience(True)
            except sqlite3.Error as error:
                self._log_lost_write(error)
                self._set_patience(False)
                with closing(open_in_memory()) as db:
                    yield db
                return
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                if not isinstance(error, sqlite3.Error):
                    raise
                self._log_lost_write(error)

    def _set_patience(self, patient: bool) -> None:
        """After one timeout, later writes wait only briefly."""
        if patient is not self._patient:
            self._patient = patient
            with suppress(sqlite3.Error):
                if not patient:
                    (self._wait,) = self._db.execute("PRAGMA busy_timeout").fetchone()
                self._db.execute(
                    f"PRAGMA busy_timeout = {self._wait if patient else SHORT_WAIT_MS}"
                )

    def _log_lost_write(self, error: sqlite3.Error) -> None:
        if not self._patient:
            return  # it was logged before
        reason = database_error_reason(error, self.path).words
        if sqlite_code(error) == sqlite3.SQLITE_BUSY:
            holder = database_writer(self.path)
            reason = f"it is held by {holder}; {holder.remedy}"
        _log.warning("the harvest's state could not be written: %s (%s)", reason, self.path)
