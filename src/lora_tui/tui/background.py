"""Runs a blocking call in a thread, and passes its result to the event loop.

All background work of the application and its screens goes through `start`, which handles late
results and unexpected errors.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, TypeVar, cast

from lora_tui.errors import DamagedCacheError, LoraTuiError

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from lora_tui.tui.base_app import BaseApp

Result = TypeVar("Result")


class StartsCalls:
    """Gives the application and its screens `start`."""

    @property
    def is_alive(self) -> bool:
        """Whether results of background work can still be shown."""
        return True

    def start(
        self,
        call: Callable[[], Result],
        then: Callable[[Result], None],
        *,
        name: str,
        failed: Callable[[LoraTuiError], None] | None = None,
        exclusive: str | None = None,
        in_turn: str | None = None,
    ) -> None:
        """Run a blocking call in a thread, then `then` with its result.

        An error becomes a toast unless `failed` takes it. Neither is called if the screen, or the
        application, was closed by then. `exclusive` names a group of calls of which only the newest
        counts; `in_turn` one whose calls are made one after the other, in the order in which they
        were started here (threads could overtake each other). An error that nobody foresaw is
        logged, and shown like any other. A DamagedCacheError goes to the application, which ends
        and is opened again.
        """
        node = cast("DOMNode", self)
        app = cast("BaseApp", node.app)

        async def run() -> None:
            turn = nullcontext() if in_turn is None else app.turns[in_turn]
            try:
                async with turn:
                    result = await in_background(call, app.failure_of, name=name)
            except DamagedCacheError:
                raise
            except LoraTuiError as error:
                if self.is_alive:
                    (failed or app.show_error)(error)
            else:
                if self.is_alive:
                    then(result)

        # not run(): a coroutine that is never begun, as at the end, would be warned about
        group = exclusive or name
        node.run_worker(  # mypy can't tell what a function of a coroutine returns here
            run,  # type: ignore[arg-type]
            name=name,
            group=group,
            exclusive=exclusive is not None,
        )


async def in_background(
    call: Callable[[], Result],
    failure_of: Callable[[BaseException, str], LoraTuiError],
    *,
    name: str,
) -> Result:
    """Return what `call` returns, computed in a daemon thread. Raises LoraTuiError.

    `failure_of` makes a LoraTuiError of each error, of any kind, that `call` raises; it is called
    in the thread too.

    The threads of an executor are joined when the process ends, so an unanswered request would
    block the terminal until it times out. Our writers can be interrupted at any point, so their
    threads may end with the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, failure: LoraTuiError | None) -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(failure)

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:
            failure = failure_of(error, name)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except (RuntimeError, MemoryError) as error:  # the system allows no more threads
        raise failure_of(error, name) from error
    return await future
