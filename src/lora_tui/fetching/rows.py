"""Reads one table of one user, in large pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from lora_tui.cache.remote_tables import RemoteTable
from lora_tui.domain import Row
from lora_tui.errors import QueryTimeoutError, TooLargeAnswerError
from lora_tui.gateway.paging import Cursor, Page, PageSize
from lora_tui.gateway.rest import Rest

OVERLAP: Final = timedelta(minutes=5)
"""How long a transaction may take until its rows become visible; that much is read again."""


@dataclass
class RowReader:
    """The rows of one user in one table, for one sync."""

    rest: Rest
    user_id: str
    table: RemoteTable
    _page_size: PageSize = field(default_factory=PageSize)

    def page(
        self,
        after: Cursor | None,
        *,
        key: str | None = None,
        columns: str = "*",
        counted: bool = False,
    ) -> Page:
        """The next rows after a cursor; of a row that is too large, only its small columns.

        With `counted` the page also has their number, unless counting them takes too long.
        """

        def ask(limit: int, chosen: str = columns) -> Page:
            return self._ask(after, limit, key or self.table.key, chosen, counted)

        try:
            return self._page_size.read(ask)
        except TooLargeAnswerError:
            return ask(1, self.table.small_columns)

    def newest(self, limit: int) -> Page | None:
        """The stamps of the rows that changed last, the newest first, with the number of all rows.

        None where the query takes too long.
        """
        columns = self.table.stamp_columns
        try:
            return self._ask(None, limit, self.table.key, columns, True, newest_first=True)
        except QueryTimeoutError:
            return None

    def by_id(self, ids: Sequence[object]) -> list[Row]:
        """The whole rows with these ids that still exist.

        Ids that are no UUIDs are left out: a query that names one is refused whole.
        """
        known = [str(i) for i in ids if Cursor.of({"id": i}, "id")]
        if not known:
            return []
        name, user_id = self.table.remote, self.user_id
        try:
            return list(self.rest.rows_by_id(name, user_id, known))
        except TooLargeAnswerError:
            columns = self.table.small_columns
            return list(self.rest.rows_by_id(name, user_id, known, columns=columns))

    def count(self) -> int | None:
        """How many rows there are, those marked as deleted among them.

        None where the server can't say, or not in time.
        """
        return self.rest.try_count(self.table.remote, self.user_id, deleted=True)

    def _ask(
        self,
        after: Cursor | None,
        limit: int,
        key: str,
        columns: str,
        counted: bool,
        *,
        newest_first: bool = False,
    ) -> Page:
        uncounted, name = self.rest.uncounted, self.table.remote
        asks_count = counted and name not in uncounted

        def ask(counted: bool) -> Page:
            return self.rest.page(
                name,
                self.user_id,
                after=after,
                limit=limit,
                key=key,
                columns=columns,
                counted=counted,
                newest_first=newest_first,
            )

        try:
            return ask(asks_count)
        except QueryTimeoutError:
            if not asks_count:
                raise
            uncounted.add(name)  # the rows may be had without counting all of them
            return ask(False)
