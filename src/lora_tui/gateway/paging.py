"""Reads a table page by page, and checks that each page is beyond the previous one.

A keyset page asks for the rows after the last row that was read. A faulty server may repeat a page,
or store times with more digits than it sends, and reading would never end. So reading continues
from a cursor only if it is beyond the previous one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

from lora_tui import formats
from lora_tui.clock import parse_timestamp
from lora_tui.errors import BackendError, QueryTimeoutError, TooLargeAnswerError

Row = dict[str, Any]

ROWS_A_PAGE: Final = 1000
"""The default limit of PostgREST, which cuts silently; a project may have a lower one."""
FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)
_NARROWER: Final = 10
_FEWEST: Final = 10
"""The smallest page to ask for after queries that timed out."""
MORE_THAN_COUNTED: Final = 100_000
MOST_ROWS: Final = 5_000_000
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Cursor:
    """The position of the last row that was read, in a table ordered by (key, id)."""

    updated_at: str
    """The value of the key column, as the backend sent it."""
    id: str

    @classmethod
    def at(cls, moment: str) -> Self:
        """The cursor before all rows of a time."""
        return cls(moment, FIRST_ID)

    @classmethod
    def of(cls, row: Row, key: str) -> Self | None:
        """The cursor of a row; None if its time or id can't be used in a query.

        PostgREST refuses a query with an id that is not a UUID.
        """
        row_id, value = row.get("id"), row.get(key)
        if not isinstance(row_id, str) or not is_uuid(row_id):
            return None
        if key == "id":
            return cls(row_id, row_id)
        if parse_timestamp(value) is None:
            return None
        return cls(str(value), row_id)

    def is_beyond(self, other: Cursor | None) -> bool:
        """Whether it is after another cursor."""
        return other is None or self.place > other.place

    def condition(self, key: str) -> str:
        """The PostgREST filter of the rows after it."""
        at = _quoted(self.updated_at)
        return f"{key}.gt.{at},and({key}.eq.{at},id.gt.{_quoted(self.id)})"

    def earlier(self, key: str) -> str:
        """The PostgREST filter of the rows before it."""
        at = _quoted(self.updated_at)
        return f"{key}.lt.{at},and({key}.eq.{at},id.lt.{_quoted(self.id)})"

    @property
    def place(self) -> tuple[datetime, str]:
        """Time and id, for comparisons; in a walk by id all times are equal."""
        return (parse_timestamp(self.updated_at) or _NO_TIME, self.id)


def is_uuid(text: str) -> bool:
    """Whether it is a UUID as the backend writes them."""
    return _UUID.fullmatch(text) is not None


class Page(NamedTuple):
    """One page of rows."""

    rows: list[Row]
    full: bool
    """Whether more rows may follow: no page of the project so far had more rows."""
    last: bool = False
    """Whether the server's count says that no rows follow, and its counts are reliable."""
    total: int | None = None
    """How many rows match the query without its limit; None where that was not asked or told."""
    unreadable: int = 0
    """How many items of the answer are not rows (JSON objects)."""
    server_time: datetime | None = None
    """The server's time in this answer, in whole seconds; None if it sends none."""


def next_cursor(rows: Sequence[Row], key: str, after: Cursor | None) -> Cursor | None:
    """The cursor after these rows; None if it is not beyond `after`."""
    for row in reversed(rows):
        cursor = Cursor.of(row, key)
        if cursor is not None:
            return cursor if cursor.is_beyond(after) else None
    return None


class PageSize:
    """How many rows to ask for; halved after a timed-out query or a response that is too large."""

    def __init__(self, limit: int = ROWS_A_PAGE) -> None:
        self.limit = limit

    def read(self, ask: Callable[[int], Page]) -> Page:
        """Call `ask` with a number of rows. Raises its error if the smallest number fails too."""
        while True:
            try:
                return ask(self.limit)
            except (QueryTimeoutError, TooLargeAnswerError) as error:
                fewest = 1 if isinstance(error, TooLargeAnswerError) else _FEWEST
                if self.limit <= fewest:
                    raise
                self.limit = max(fewest, self.limit // _NARROWER)


class RowLimit:
    """Stops reading when far more rows arrive than the server counts."""

    def __init__(self, what: str, count: Callable[[], int | None]) -> None:
        """`count` gives the number of rows; it is called only after very many have arrived."""
        self._what, self._count = what, count
        self._read, self._most = 0, MORE_THAN_COUNTED
        self._counted = False

    def add(self, rows: int) -> None:
        """Add rows that were read. Raises BackendError if there are too many."""
        self._read += rows
        if self._read <= self._most:
            return
        if not self._counted:
            self._counted = True
            total = self._count()
            self._most = (
                MOST_ROWS if total is None else min(MOST_ROWS, MORE_THAN_COUNTED + 2 * total)
            )
        if self._read > self._most:
            raise BackendError(
                f"Could not read {self._what}: the server sends rows without end",
                details=f"{formats.count(self._read)} so far, which is more than its own count",
                remedy="what was read is kept; check that the configured URL is your project's",
            )


def walk_by_id(read: Callable[[Cursor | None], Page], what: str) -> Iterator[list[Row]]:
    """All rows in the order of their ids, page by page.

    Raises BackendError if a page is not beyond the previous one.
    """
    after: Cursor | None = None
    while True:
        page = read(after)
        if page.rows:
            yield page.rows
        cursor = next_cursor(page.rows, "id", after)
        if cursor is None:
            if page.rows and page.full:
                raise repeated_rows(what)
            return
        after = cursor


def repeated_rows(what: str) -> BackendError:
    """The error for a server that repeats a page."""
    return BackendError(
        f"Could not read {what} to the end: the server sends the same rows again and again",
        remedy="what was read is kept;"
        " check whether a proxy in front of the project caches responses",
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
