"""What the application does about errors that nobody foresaw: a log, and a report if it crashes."""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import textual

from lora_tui import __version__, clock
from lora_tui.config.paths import find_paths
from lora_tui.engine.crash_reports import write_report
from lora_tui.engine.logs import LogFile, engine_log
from lora_tui.engine.unexpected_errors import place_of, traceback_text
from lora_tui.errors import LoraTuiError
from lora_tui.files import disk_error_reason
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.tui.base_app import BaseApp


_STDERR: Final = 2


def log_error(what: str, error: BaseException) -> None:
    """Add the traceback of an error to the log file; never raises."""
    with suppress(Exception):
        log_file().add_error(what, error)


def log_file() -> LogFile:
    """The log file, which the engine writes too. Raises ConfigError where no home is known."""
    return LogFile(engine_log(find_paths().state_dir))


@contextmanager
def nothing_on_the_screen(app: BaseApp) -> Iterator[None]:
    """Write log records, and errors of threads, into the log file in this block.

    Textual draws on stderr, so what a logger prints there would be written into the screen. After a
    crash this stays: only one line is to be printed.
    """
    root = logging.getLogger()
    excepthook, before = sys.excepthook, (root.handlers[:], threading.excepthook)

    def log_uncaught(_: type[BaseException], error: BaseException, __: object) -> None:
        log_error("The application", error)

    def log_uncaught_in_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
            log_error(ended.thread.name if ended.thread else "A thread", ended.exc_value)

    # others, such as those of a test, write elsewhere
    kept = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]
    with suppress(LoraTuiError):
        kept.append(log_file())
    root.handlers[:] = kept
    sys.excepthook, threading.excepthook = log_uncaught, log_uncaught_in_thread
    try:
        yield
    finally:
        sys.excepthook = excepthook
        if not app.crashed:
            root.handlers[:], threading.excepthook = before


def report_crash(app: BaseApp, error: BaseException) -> LoraTuiError:
    """Write the report; the error that the command ends with. Never raises."""
    try:
        known = isinstance(error, LoraTuiError)
        details = f"{type(error).__name__}: {error}" if known else None
        path = _write(app, error)
    except Exception as failure:
        return _without_report(error, failure)
    return LoraTuiError(
        "The application crashed",
        details=details,
        remedy=f"the report is in {path}; please send it to the project",
    )


def print_and_exit(crash: LoraTuiError) -> NoReturn:
    """Print the line that the command would print, and end the process at once."""
    details = f" ({crash.details})" if crash.details else ""
    remedy = crash.remedy or ""
    line = f"lora-tui: {crash}{details}. {remedy[:1].upper()}{remedy[1:]}."
    with suppress(OSError):
        os.write(_STDERR, f"{terminal_safe(line)}\n".encode())
    os._exit(crash.exit_code)


def _without_report(error: BaseException, failure: Exception) -> LoraTuiError:
    reason, place = type(failure).__name__, None
    with suppress(Exception):
        place = place_of(error)
        if isinstance(failure, OSError):
            reason = disk_error_reason(failure).words
    at = f" in {place}" if place else ""
    return LoraTuiError(
        f"The application crashed: {type(error).__name__}{at}",
        details=f"the report can't be written: {reason}",
        remedy="please send this line to the project",
    )


def _write(app: BaseApp, error: BaseException) -> Path:
    """Write the report. Raises OSError, ConfigError."""
    lines = [f"lora-tui crashed: {type(error).__name__}", ""]
    for name, value in _CIRCUMSTANCES.items():
        try:
            found = terminal_safe(value(app), limit=1_000)
        except Exception as failure:
            found = f"(unknown: {type(failure).__name__})"
        lines.append(f"{name + ':':<12}{found}")
    return write_report(find_paths().state_dir, "\n".join([*lines, "", traceback_text(error)]))


def _screens(app: BaseApp) -> str:
    """The classes of the open screens, the one in front last."""
    return ", ".join(type(screen).__name__ for screen in app.screen_stack)


def _terminal(app: BaseApp) -> str:
    kind = "a page in a browser" if app.is_web else "headless" if app.is_headless else "a terminal"
    names = ("TERM", "COLORTERM", "TERM_PROGRAM")
    variables = " ".join(f"{name}={os.environ.get(name, '')}" for name in names)
    width, height = app.size
    return f"{kind}, {width}x{height}, {variables}, colours: {app.console.color_system}"


def _threads(_: BaseApp) -> str:
    """What was being asked: our threads have the names of requests."""
    return ", ".join(sorted(thread.name for thread in threading.enumerate()))


_CIRCUMSTANCES: Final[dict[str, Callable[[BaseApp], str]]] = {
    "Time": lambda _: f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
    "Version": lambda _: __version__,
    "Python": lambda _: f"{platform.python_implementation()} {platform.python_version()}",
    "System": lambda _: platform.platform(),
    "Textual": lambda _: textual.__version__,
    "Terminal": _terminal,
    "Theme": lambda app: f"{app.theme}{', ASCII only' if app.ascii_only else ''}",
    "Screens": _screens,
    "Focus": lambda app: type(app.focused).__name__ if app.focused else "none",
    "Actions": lambda app: ", ".join(app.actions) or "none",
    "Threads": _threads,
}
"""Each line of a report: what holds nothing that the user typed and nothing of the cache."""
