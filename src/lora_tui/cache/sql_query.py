"""Runs one query that a user wrote over the views of the cache: read-only, and within limits.

SQLite's authorizer refuses everything but reading the views and calling harmless functions. The
query runs in a thread with a connection of its own, so that Ctrl+C and the time limit end it at
once.
"""

from __future__ import annotations

import queue
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from lora_tui import formats
from lora_tui.cache.closeness import nearest
from lora_tui.cache.connection import translate_database_errors
from lora_tui.cache.sql_views import VIEW_NAMES, SqlView, sql_views
from lora_tui.errors import LoraTuiError, UsageError
from lora_tui.sqlite_file import open_for_reading, sqlite_code
from lora_tui.text import terminal_safe

Values: TypeAlias = tuple[Any, ...]
"""One row: None, int, float, str or bytes."""

MOST_MEMORY: Final = 512 << 20
"""Bytes that SQLite may use. The whole process keeps this limit."""
LONGEST_VALUE: Final = 10_000_000
"""Bytes of a text or a blob."""
LONGEST_QUERY: Final = 100_000
"""Characters."""
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST_QUERY),
    (sqlite3.SQLITE_LIMIT_COLUMN, 500),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_ROWS_AT_ONCE: Final = 500
_SIZE_AT_ONCE: Final = 1_000_000
"""Characters of the values that are handed over together."""
_PATIENCE: Final = 0.5
"""Seconds that an interrupted query gets to end."""
_VERBS: Final = ("SELECT", "WITH", "VALUES", "EXPLAIN")
_READS_ONLY: Final = "write one SELECT; `lora-tui sql --schema` lists the views"
_SCHEMA: Final = "`lora-tui sql --schema` lists the views and their columns"
_SKIPPED: Final = re.compile(r"(?:[\s;(\ufeff]|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_FUNCTION_NAMES: Final = """
    abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws cos
    cosh count cume_dist date datetime degrees dense_rank exp first_value floor glob
    group_concat hex if ifnull iif instr json json_array json_array_length json_extract
    json_group_array json_group_object json_object json_quote json_type json_valid julianday lag
    last_value lead length like likelihood likely ln log log10 log2 lower ltrim max median min mod
    nth_value ntile nullif octet_length percent_rank percentile pi pow power quote radians
    random rank replace round row_number rtrim sign sin sinh sqrt strftime string_agg substr
    substring subtype sum tan tanh time timediff total trim trunc typeof unhex unicode unixepoch
    unlikely upper -> ->>
"""
FUNCTIONS: Final = frozenset(_FUNCTION_NAMES.split())
"""Those that a query may call, where this SQLite has them."""
_DENIED: Final = {
    sqlite3.SQLITE_ATTACH: "ATTACH opens another file",
    sqlite3.SQLITE_DETACH: "DETACH is refused",
    sqlite3.SQLITE_PRAGMA: "PRAGMA is refused",
    sqlite3.SQLITE_TRANSACTION: "There is nothing to commit",
    sqlite3.SQLITE_SAVEPOINT: "There is nothing to commit",
    sqlite3.SQLITE_INSERT: "INSERT would write",
    sqlite3.SQLITE_UPDATE: "UPDATE would write",
    sqlite3.SQLITE_DELETE: "DELETE would write",
}


class Result(NamedTuple):
    """What a query returns."""

    columns: tuple[str, ...]
    """As the query names them; not unique."""
    rows: Iterator[Values]
    """Read once; raises what `run_query` raises."""


def run_query(path: Path, sql: str, *, seconds: float) -> Result:
    """Start a query over the views of the cache at `path`.

    `seconds`: how long SQLite may work, without the time that the reader takes for the rows.
    Raises UsageError for a query that is wrong, not allowed or too expensive, DamagedCacheError,
    CacheError; KeyboardInterrupt as soon as the user presses Ctrl+C.
    """
    if len(sql) > LONGEST_QUERY:
        raise UsageError(
            f"The query is longer than {formats.count(LONGEST_QUERY)} characters",
            remedy="shorten it",
        )
    if not _verb(sql):
        raise UsageError("There is no query", remedy="write `lora-tui sql 'select … from models'`")
    if _verb(sql) not in _VERBS:
        raise UsageError(
            f"`lora-tui sql` only reads, and this begins with {_verb(sql)!r}", remedy=_READS_ONLY
        )
    worker = _Worker(path, sql)
    worker.start()
    answers = _answers(worker, seconds)
    columns = next(answers)
    return Result(tuple(str(name) for name in columns), answers)


def _verb(sql: str) -> str:
    """The first word of a query in capitals, without what may stand before it."""
    start = _SKIPPED.match(sql)
    rest = sql[start.end() if start else 0 :].strip()
    word = re.match(r"\w+", rest)
    return (word[0].upper() if word else rest)[:20]


def _answers(worker: _Worker, seconds: float) -> Iterator[Values]:
    """The names of the columns, then the rows. `seconds` are those spent in waiting for them."""
    left = seconds
    try:
        while True:
            began = time.monotonic()
            try:
                answer = worker.answers.get(timeout=max(0.0, left))
            except queue.Empty:
                raise UsageError(
                    f"The query took longer than {formats.counted(round(seconds), 'second')}",
                    remedy="narrow it with WHERE or LIMIT, or give it more time with --timeout",
                ) from None
            left -= time.monotonic() - began
            if answer is None:
                return
            if isinstance(answer, BaseException):
                raise answer
            yield from answer
    finally:
        worker.stop()


class _Worker(threading.Thread):
    """Runs the query. A daemon: the process may end while SQLite computes one long expression."""

    def __init__(self, path: Path, sql: str) -> None:
        super().__init__(name="sql", daemon=True)
        self._path, self._sql = path, sql
        self._connection: sqlite3.Connection | None = None
        self._stopped = threading.Event()
        self.answers: queue.Queue[list[Values] | BaseException | None] = queue.Queue(maxsize=2)
        """Rows, of which the first are the names of the columns; an error or None ends them."""

    def run(self) -> None:
        try:
            with translate_database_errors(self._path), closing(open_views(self._path)) as db:
                self._read(db)
            self._put(None)
        except BaseException as error:
            self._put(error)

    def stop(self) -> None:
        """End the query, and wait a moment for its thread."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.Error):  # it was closed meanwhile
                connection.interrupt()
        self.join(_PATIENCE)

    def _read(self, db: sqlite3.Connection) -> None:
        views = sql_views(db)
        guard = _Guard(db, views)
        self._connection = db
        try:
            cursor = db.execute(self._sql)
            if cursor.description is None:
                raise UsageError("There is no query", remedy=_READS_ONLY)
            self._put([tuple(column[0] for column in cursor.description)])
            rows: list[Values] = []
            size = 0
            for row in cursor:
                if self._stopped.is_set():
                    return
                rows.append(row)
                size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
                if len(rows) >= _ROWS_AT_ONCE or size >= _SIZE_AT_ONCE:
                    self._put(rows)
                    rows, size = [], 0
            self._put(rows)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            translated = _translated(error, views, guard, self._sql)
            if translated is None:
                raise
            raise translated from None

    def _put(self, answer: list[Values] | BaseException | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self.answers.put(answer, timeout=0.1)
                return


def open_views(path: Path) -> sqlite3.Connection:
    """A connection that reads the views and nothing else. Raises OSError, sqlite3.Error."""
    db = open_for_reading(path, timeout=15.0, isolation_level=None)
    try:
        db.execute("PRAGMA query_only = 0")  # the views are temporary: they are not in the file
        db.execute(f"PRAGMA hard_heap_limit = {MOST_MEMORY}")
        db.execute("PRAGMA temp_store = MEMORY")  # the limit of the memory counts, no disk fills
        db.execute("PRAGMA trusted_schema = 0")
        for name, value in _LIMITS:
            db.setlimit(name, value)
        db.text_factory = lambda content: content.decode("utf-8", "replace")
    except BaseException:
        db.close()
        raise
    return db


class _Guard:
    """Makes the views, then lets a query read only them.

    Each view stands over a hidden one with a name that nobody can guess, which SQLite tells the
    authorizer when the query behind it reads a table: a common table expression of a user, which
    may be called as a view is, gains nothing.
    """

    def __init__(self, db: sqlite3.Connection, views: Sequence[SqlView]) -> None:
        self.refusal: UsageError | None = None
        """Why something was refused."""
        self._all_tables = {
            str(name).lower() for (name,) in db.execute("SELECT name FROM sqlite_master")
        }
        self._behind: set[str] = set()
        hidden = {view.name: f"{view.name}_{secrets.token_hex(16)}" for view in views}
        self._hidden = frozenset(hidden.values())
        for view in views:
            db.execute(f'CREATE TEMP VIEW "{hidden[view.name]}" AS {view.select}')
            db.execute(f'CREATE TEMP VIEW "{view.name}" AS SELECT * FROM "{hidden[view.name]}"')
        db.execute("PRAGMA query_only = 1")
        db.set_authorizer(self._note)
        for view in views:
            db.execute(f'SELECT * FROM "{view.name}" LIMIT 0')
        db.set_authorizer(self._decide)

    def _note(self, action: int, table: str | None, *_: str | None) -> int:
        """Remember the tables behind the views."""
        if action == sqlite3.SQLITE_READ and table:
            self._behind.add(table)
        return sqlite3.SQLITE_OK

    def _decide(
        self, action: int, first: str | None, second: str | None, schema: str | None,
        inside: str | None,
    ) -> int:  # fmt: skip
        refusal = self._refusal(action, first or "", second or "", schema, inside)
        if refusal is None:
            return sqlite3.SQLITE_OK
        if self.refusal is None:
            self.refusal = UsageError(terminal_safe(refusal, limit=200), remedy=_READS_ONLY)
        return sqlite3.SQLITE_DENY

    def _refusal(
        self, action: int, first: str, second: str, schema: str | None, inside: str | None
    ) -> str | None:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE) or inside in self._hidden:
            return None
        if action == sqlite3.SQLITE_FUNCTION:
            if second.lower() in FUNCTIONS:
                return None
            return f"The function {second!r} can't be used"
        if action == sqlite3.SQLITE_READ:
            is_view = first in VIEW_NAMES or first in self._hidden
            # a table of which no column is read: of a view that SQLite has merged into the query,
            # or a common table expression of the user
            is_counted = not second and (
                first in self._behind or (not schema and first.lower() not in self._all_tables)
            )
            if (is_view and schema in ("temp", None)) or is_counted:
                return None
            return f"{first!r} is a table of the cache, and only its views can be read"
        return _DENIED.get(action, "`lora-tui sql` only reads")


_NO_MODULE: Final = re.compile(r"vtable constructor failed: (.+)", re.DOTALL)
_NO_SUCH: Final = re.compile(r"no such (table|column|function): (.+)", re.DOTALL)


def _translated(
    error: BaseException, views: Sequence[SqlView], guard: _Guard, sql: str
) -> LoraTuiError | None:
    """The error for a user; None for one that is not of the query."""
    code, text = sqlite_code(error), terminal_safe(error, limit=300)
    if isinstance(error, MemoryError):
        return UsageError(
            f"The query needs more than {formats.size(MOST_MEMORY)} of memory",
            remedy="select fewer columns, or narrow it with WHERE or LIMIT",
        )
    if (found := _NO_MODULE.match(text)) is not None:
        return UsageError(f"There is no view {found[1]!r}", remedy=_SCHEMA)
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_ERROR) and guard.refusal is not None:
        return guard.refusal
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return UsageError(
            f"A value of the query is longer than {formats.count(LONGEST_VALUE)} bytes",
            remedy="shorten it with substr, or group fewer rows",
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return UsageError("The query was interrupted")
    if "one statement at a time" in text:
        return UsageError("Only one statement can be run at a time", remedy="leave out the others")
    if "bindings" in text or "parameter" in text.lower():
        return UsageError("A query can't have parameters", remedy="write the values into it")
    if code not in (None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH):
        return None
    found = _NO_SUCH.match(text)
    if found is None:
        return UsageError(f"SQLite refuses the query: {text}", remedy=_SCHEMA)
    what, word = found[1], found[2]
    near = nearest(word.rpartition(".")[2], _names(what, views, sql))
    shown = "view" if what == "table" else what
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return UsageError(
        f"There is no {shown} {word!r}",
        remedy=f"{guess}{_SCHEMA}",
    )


def _names(what: str, views: Sequence[SqlView], sql: str) -> list[str]:
    """The names that a mistyped one may mean; columns of the views that the query names."""
    if what == "table":
        return list(VIEW_NAMES)
    if what == "function":
        return sorted(FUNCTIONS)
    spoken = {word.lower() for word in re.findall(r"\w+", sql)}
    return list(
        dict.fromkeys(
            column.name for view in views if view.name in spoken for column in view.columns
        )
    )
