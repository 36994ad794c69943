"""Reads the pages of a table one ahead: while one is written, the next is on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from lora_tui.domain import Row

Page = Sequence[Row]


def pages(first: Page, read_after: Callable[[Row], Page]) -> Iterator[Page]:
    """`first`, then what `read_after` gives for the last row of each page, to the empty one.

    `read_after` is called in another thread; what it raises is raised here, after the page before
    it was used.
    """
    page = first
    while page:
        coming = _begin(read_after, page[-1])
        yield page
        page = coming.result()


def _begin(read_after: Callable[[Row], Page], row: Row) -> Future[Page]:
    """A daemon thread and not an executor: nobody who quits waits for an answer."""
    future: Future[Page] = Future()

    def read() -> None:
        try:
            future.set_result(read_after(row))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=read, name="next page", daemon=True).start()
    return future
