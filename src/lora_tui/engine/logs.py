"""Logs and tracebacks without secrets: on stderr, and in the log file.

The log file is the stderr of the engine. The application, whose stderr is the screen, adds to it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.engine.unexpected_errors import traceback_text
from lora_tui.files import PRIVATE_MODE, make_private_directory
from lora_tui.secret import without_held
from lora_tui.text import printable, without_secrets

_MOST_CHARACTERS: Final = 2_000
"""Of the message of one record."""
MOST_BYTES: Final = 1 << 20
"""Beyond this the engine's log is renamed to `.1` when the next engine starts."""


def log_to_stderr(level: int) -> None:
    """Send log records of `level` and above to stderr, without secrets.

    Where only warnings are wanted, those of lora-tui itself are plain sentences.
    """

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            if level >= logging.WARNING and record.name.startswith("lora_tui"):
                line = f"lora-tui: {record.getMessage().rstrip('.')}."
            else:
                line = super().format(record)
            return printable(without_held(line))

    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an unexpected error on stderr, if that can be written; no secrets."""
    with suppress(OSError):  # the log file is on a disk that is full
        sys.stderr.write(traceback_text(error))


def print_thread_traceback(ended: threading.ExceptHookArgs) -> None:
    """Like `print_traceback`, for `threading.excepthook`."""
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        print_traceback(ended.exc_value)


class LogFile(logging.Handler):
    """Adds log records, and errors that nobody foresaw, to a log file; never raises."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record, without secrets."""
        with suppress(Exception):
            message = without_secrets(record.getMessage(), limit=_MOST_CHARACTERS)
            text = f"{record.levelname} {record.name}: {message}"
            self._add(text, record.exc_info[1] if record.exc_info else None)

    def add_error(self, what: str, error: BaseException) -> None:
        """Add the traceback of an error that was raised by `what`."""
        with suppress(Exception):
            self._add(f"ERROR {what} failed", error)

    def _add(self, text: str, error: BaseException | None) -> None:
        lines = f"{clock.now():%Y-%m-%dT%H:%M:%SZ} [{os.getpid()}] {text}\n"
        if error is not None:
            lines += traceback_text(error)
        with open_log(self._path) as descriptor:
            if descriptor != subprocess.DEVNULL:
                os.write(descriptor, lines.encode())


def engine_log(state_dir: Path) -> Path:
    """The log file of a user's engines and applications."""
    return state_dir / "engine.log"


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """Yield what `subprocess` takes as stderr, to append to the file.

    It is DEVNULL where the file can't be written.
    """
    descriptor = subprocess.DEVNULL
    with suppress(OSError):
        make_private_directory(path.parent)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        # O_NONBLOCK: a pipe of this name without a reader is refused, not waited for
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags | os.O_NONBLOCK, PRIVATE_MODE)
    try:
        yield descriptor
    finally:
        if descriptor != subprocess.DEVNULL:
            os.close(descriptor)
