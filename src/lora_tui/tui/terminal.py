"""The application's terminal: whether it is usable, suspending with ctrl+z, and its end."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lora_tui.errors import HangupError, TerminatedError, UsageError

if TYPE_CHECKING:
    from lora_tui.tui.base_app import BaseApp

_WEB_DRIVER: Final = "textual.drivers.web_driver:WebDriver"
_TICK_SECONDS: Final = 0.01
_CHECK_SECONDS: Final = 1.0
_SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_WITHOUT_SCREEN: Final = ("dumb", "unknown")


def require_terminal(environment: MutableMapping[str, str] = os.environ) -> None:
    """Raise UsageError if the application can't be shown here.

    Removes COLUMNS and LINES from the environment: exported by a shell, they do not change when the
    terminal is resized. The application asks the terminal itself.
    """
    if environment.get("TEXTUAL_DRIVER") == _WEB_DRIVER:
        return  # `lora-tui serve` runs it and sets these for the size of the page
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The application needs a terminal",
            remedy="in a script, use `lora-tui list`, `show`, `download` or `--harvest`",
        )
    if not sys.stderr.isatty():
        raise UsageError(
            "The application draws on stderr, which is not the terminal here",
            remedy="start it without `2>`; errors go to the log file that `lora-tui doctor` names",
        )
    if has_no_screen(environment):
        raise UsageError(
            f"This terminal can't show the application: TERM is {environment['TERM']}",
            remedy="set TERM to the type of the terminal, for example xterm-256color;"
            " `lora-tui list`, `show` and `download` work without it",
        )
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)


def has_no_screen(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether TERM says that the cursor can't be moved on this terminal."""
    return environment.get("TERM") in _WITHOUT_SCREEN


@contextmanager
def signals_noted(note: Callable[[int], None]) -> Iterator[None]:
    """Call `note` with a signal that comes before `exit_on_signals`, which takes over."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda received, _: note(received))
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def exit_on_signals(app: BaseApp) -> None:
    """Exit in order on a signal. Call it before the terminal is taken, in the loop."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # else nohup, or a job in a script
            loop.add_signal_handler(number, app.exit_with, error_of_signal(number))


def exit_without_terminal(app: BaseApp) -> None:
    """Exit when the terminal or the web server is gone. Call it on mount.

    A broken SSH connection does not always cause a SIGHUP: a program between shell and application
    may ignore it, and the application would never end.
    """
    if app.is_headless:
        return  # a test has no terminal
    is_gone = server_is_gone if app.is_web else terminal_is_gone

    def check() -> None:
        if is_gone():
            app.exit_with(terminal_is_gone_error())

    app.set_interval(_CHECK_SECONDS, check)


def terminal_is_gone_error() -> HangupError:
    """What the application ends with where it has lost its terminal."""
    return HangupError("The terminal is gone")


def error_of_signal(number: int) -> BaseException:
    """What the application ends with after one of the three signals."""
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    if number == signal.SIGHUP:
        return HangupError("Ended by SIGHUP")
    return TerminatedError("Ended by SIGTERM")


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


def can_be_resumed() -> bool:
    """Whether a shell notices that this process stops, and can resume it.

    That is true if an ancestor in another process group of the same session waits for the group of
    this process.
    """
    group, session = os.getpgrp(), os.getsid(0)
    process = os.getppid()
    try:
        while os.getpgid(process) == group:
            process = _parent_of(process)
        return os.getsid(process) == session
    except (OSError, ValueError):
        return False


def stop() -> None:
    """Stop the whole process group until it is resumed, as ctrl+z does in other programs.

    It must be the group: `make` or a script that waits for this process would block the shell. Call
    it in the main thread.
    """
    continued: list[int] = []
    before = signal.signal(signal.SIGCONT, lambda number, _: continued.append(number))
    try:
        os.killpg(os.getpgrp(), signal.SIGSTOP)
        while not continued:  # the signal may reach another thread first, and this thread continues
            time.sleep(_TICK_SECONDS)
    finally:
        signal.signal(signal.SIGCONT, before)


def _parent_of(process: int) -> int:
    """From /proc, where there is one. Raises OSError, ValueError."""
    if process <= 1:
        raise ValueError("it has none")
    from lora_tui.processes import process_status

    return int(process_status(process)[1])
