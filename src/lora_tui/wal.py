"""SQLite's write-ahead log, switched on also while another process opens the same new file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.01


def use_wal(
    db: sqlite3.Connection, *, patience: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Keep readers and the writer apart from now on; `patience` is in seconds.

    SQLite's own time-out does not count here: where another connection is about to write, the
    switch fails at once. Raises sqlite3.Error.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        sleep(_LOOK_SECONDS)
