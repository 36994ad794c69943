"""Calls beside the event loop: quitting does not wait for them, and hears nothing of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from lora_tui.errors import LoraTuiError
from lora_tui.tui.background import in_background


def test_a_call_that_ends_while_the_application_quits_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop is closed after the thread has looked whether it is, and before it tells."""
    complaints: list[object] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    quit_now, looked = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:  # type: ignore[override]
            looked.set()
            quit_now.wait()
            super().call_soon_threadsafe(callback, *args)

    async def leave() -> None:
        task = asyncio.create_task(in_background(threads_here, failure_of, name="late"))
        while not looked.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def failure_of(error: BaseException, name: str) -> LoraTuiError:
        return LoraTuiError(f"{name}: {error}")

    def threads_here() -> None:
        threads.append(threading.current_thread())

    loop = Loop()
    loop.run_until_complete(leave())
    loop.close()
    quit_now.set()
    threads[0].join()
    assert complaints == []
