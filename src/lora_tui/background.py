"""Runs a blocking call beside the event loop; neither a keypress nor quitting waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def in_background(call: Callable[[], Result], *, name: str) -> Result:
    """What `call` returns or raises, computed in a daemon thread.

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
