"""Reads the rows of one user, in pages as large as the project and our limits allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lora_tui.domain import Row
from lora_tui.errors import TooLargeAnswerError
from lora_tui.gateway.paging import Cursor, Page, PageSize
from lora_tui.gateway.rest import Rest
from lora_tui.sync.tables import Table


@dataclass
class Reader:
    """The tables of one user, for one sync."""

    rest: Rest
    user_id: str
    _page_sizes: dict[str, PageSize] = field(default_factory=dict)

    def page(
        self, table: Table, after: Cursor | None, *, key: str | None = None, columns: str = "*"
    ) -> Page:
        """The next rows after a cursor; of a row that is too large, only its small columns."""

        def ask(limit: int, chosen: str = columns) -> Page:
            return self.rest.full_page(
                table.remote,
                self.user_id,
                after=after,
                limit=limit,
                key=key or table.key,
                columns=chosen,
            )

        size = self._page_sizes.setdefault(table.remote, PageSize())
        try:
            return size.read(ask)
        except TooLargeAnswerError:
            return ask(1, table.few_columns)

    def by_id(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """These rows, whole, as far as they are still there; `rows` has their ids.

        Those whose id is no UUID are left out: they can't be asked for.
        """
        return self._by_id(table, [row["id"] for row in rows if Cursor.of(dict(row), "id")])

    def count(self, table: Table, *, deleted: bool | None = None) -> int | None:
        """How many rows there are; None where the server can't say, or not in time."""
        with_deleted = not table.hides_deleted if deleted is None else deleted
        return self.rest.try_count(table.remote, self.user_id, deleted=with_deleted)

    def _by_id(self, table: Table, ids: Sequence[str]) -> list[Row]:
        if not ids:
            return []
        try:
            return list(self.rest.rows_by_id(table.remote, self.user_id, ids))
        except TooLargeAnswerError:
            columns = table.few_columns
            return list(self.rest.rows_by_id(table.remote, self.user_id, ids, columns=columns))
