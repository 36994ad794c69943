"""Reads one table of one user, in large pages; the next one is requested ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from lora_tui.cache.remote_tables import RemoteTable
from lora_tui.domain import Row
from lora_tui.errors import TooLargeAnswerError
from lora_tui.gateway.paging import Cursor, Page, PageSize
from lora_tui.gateway.rest import Rest

Read = Callable[[Cursor | None], Page]
Next = Callable[[Page, Cursor | None], Cursor | None]
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

        With `counted` the server counts the rows after the cursor, which tells the last page.
        """

        def ask(limit: int, chosen: str = columns) -> Page:
            return self.rest.page(
                self.table.remote,
                self.user_id,
                after=after,
                limit=limit,
                key=key or self.table.key,
                columns=chosen,
                counted=counted,
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


def prefetch_pages(
    read: Read, after: Cursor | None, next_after: Next
) -> Iterator[tuple[Page, Cursor | None]]:
    """Yield each page after a cursor, with the cursor of the page that follows it.

    `next_after` computes that cursor from a page and the cursor it was requested with; None ends
    the reading, as does an empty page. `read` runs in another thread; what it raises is raised
    here, after the previous page was used.
    """
    page = read(after)
    while page.rows:
        following = next_after(page, after)
        if following is None:
            yield page, None
            return
        coming = _start(read, following)
        yield page, following
        page, after = coming.result(), following


def _start(read: Read, after: Cursor | None) -> Future[Page]:
    """Read in a daemon thread, not an executor: quitting must not wait for an answer."""
    future: Future[Page] = Future()

    def run() -> None:
        try:
            future.set_result(read(after))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="next page", daemon=True).start()
    return future
