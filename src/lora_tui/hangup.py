"""The application ends when it is asked to (SIGTERM, SIGHUP), and when its terminal is gone.

An SSH connection that breaks does not always bring a SIGHUP: between shell and application there
may be a program that swallows it, and then nobody could ever end what is left.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import termios
from typing import Final

from textual.app import App

_LOOK_SECONDS: Final = 1.0


def end_when_asked(app: App[None]) -> None:
    """Leave in order, with the terminal put back if there still is one. Call it on mount."""
    if app.is_headless or app.is_web:
        return  # a test has no terminal; of a page the driver takes care
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, app.exit)

    def look() -> None:
        if terminal_is_gone():
            app.exit()

    app.set_interval(_LOOK_SECONDS, look)


def terminal_is_gone() -> bool:
    """Whether the other end of the terminal is closed."""
    try:
        termios.tcgetattr(sys.__stdin__ or 0)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False
