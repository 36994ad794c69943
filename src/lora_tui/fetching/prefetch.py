"""Reads the pages of a table one ahead: while one is processed, the next is being requested."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from lora_tui.gateway.paging import Cursor, Page

Read = Callable[[Cursor | None], Page]
Next = Callable[[Page, Cursor | None], Cursor | None]


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
