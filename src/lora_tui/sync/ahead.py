"""Reads the pages of a table one ahead: while one is written, the next is on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from lora_tui.gateway.paging import Cursor, Page

Read = Callable[[Cursor | None], Page]
Further = Callable[[Page, Cursor | None], Cursor | None]


def pages(
    read: Read, after: Cursor | None, further: Further
) -> Iterator[tuple[Page, Cursor | None]]:
    """The pages after a place, each with the place to go on from, to the empty one.

    `further` gives that place for a page and the place that it was asked for; after a page that
    gets no further (None) nothing is read. `read` is called in another thread; what it raises is
    raised here, after the page before it was used.
    """
    page = read(after)
    while page.rows:
        following = further(page, after)
        if following is None:
            yield page, None
            return
        coming = _begin(read, following)
        yield page, following
        page, after = coming.result(), following


def _begin(read: Read, after: Cursor | None) -> Future[Page]:
    """A daemon thread and not an executor: nobody who quits waits for an answer."""
    future: Future[Page] = Future()

    def ask() -> None:
        try:
            future.set_result(read(after))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=ask, name="next page", daemon=True).start()
    return future
