"""Ends the application on signals, and when its terminal or its web server is gone.

A broken SSH connection does not always cause a SIGHUP: a program between shell and application may
ignore it, and the application would never end.
"""

from __future__ import annotations

import asyncio
import errno
import select
import signal
import sys
import termios
from typing import Final

from textual.app import App

_LOOK_SECONDS: Final = 1.0


def exit_on_signals(app: App[None]) -> None:
    """Exit in order on a signal or without a terminal. Call it on mount."""
    if app.is_headless:
        return  # a test has no terminal
    if not app.is_web:  # the driver handles the signals of a page
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, app.exit)
    is_gone = server_is_gone if app.is_web else terminal_is_gone

    def look() -> None:
        if is_gone():
            app.exit()

    app.set_interval(_LOOK_SECONDS, look)


def terminal_is_gone() -> bool:
    """Whether the other end of the terminal is closed."""
    try:
        termios.tcgetattr(sys.__stdin__ or 0)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False


def server_is_gone() -> bool:
    """Whether `lora-tui serve`, at the other end of a page's input, has ended."""
    poll = select.poll()
    poll.register(sys.__stdin__ or 0, 0)  # a hangup is always reported
    return any(happened & select.POLLHUP for _, happened in poll.poll(0))
