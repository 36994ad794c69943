"""Runs a blocking call in a thread beside the event loop, and applies its result there.

All that the application does in the background goes through `start`: it says once what becomes of
a result that comes too late, and of an error that nobody has foreseen.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from lora_tui.errors import DamagedCacheError, LoraTuiError

if TYPE_CHECKING:
    from textual.dom import DOMNode

Result = TypeVar("Result")


def start(
    node: DOMNode,
    call: Callable[[], Result],
    *,
    name: str,
    then: Callable[[Result], None],
    failed: Callable[[LoraTuiError], None],
    is_wanted: Callable[[], bool],
    exclusive: str | None = None,
) -> None:
    """Run `call` in a thread; then call `then` with its result, or `failed` with its error.

    Neither is called where `is_wanted` is false by then, or `node` was removed: what they would
    show it on is gone. `exclusive` names a group of calls of which only the newest counts. An error
    outside the family goes to the application, and so does a damaged cache.
    """

    async def run() -> None:
        try:
            result = await in_background(call, name=name)
        except DamagedCacheError:
            raise
        except LoraTuiError as error:
            if is_wanted():
                failed(error)
        else:
            if is_wanted():
                then(result)

    node.run_worker(run(), name=name, group=exclusive or name, exclusive=exclusive is not None)


async def in_background(call: Callable[[], Result], *, name: str) -> Result:
    """Return what `call` returns, or raise what it raises, computed in a daemon thread.

    An executor's threads are joined when the process ends: an unanswered request would hold the
    terminal for as long as it takes to time out. What our writers leave behind is made to be cut
    off at any point, so their threads may end with the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
