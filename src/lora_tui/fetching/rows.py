"""Reads one table of one user, in pages as large as the project and our limits allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from lora_tui.cache.remote_tables import RemoteTable
from lora_tui.domain import Row
from lora_tui.errors import TooLargeAnswerError
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

    def page(self, after: Cursor | None, *, key: str | None = None, columns: str = "*") -> Page:
        """The next rows after a cursor; of a row that is too large, only its small columns."""

        def ask(limit: int, chosen: str = columns) -> Page:
            return self.rest.page(
                self.table.remote,
                self.user_id,
                after=after,
                limit=limit,
                key=key or self.table.key,
                columns=chosen,
            )

        try:
            return self._page_size.read(ask)
        except TooLargeAnswerError:
            return ask(1, self.table.small_columns)

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

    def count(self, *, deleted: bool | None = None) -> int | None:
        """How many rows there are; None where the server can't say, or not in time."""
        with_deleted = not self.table.hides_deleted if deleted is None else deleted
        return self.rest.try_count(self.table.remote, self.user_id, deleted=with_deleted)
