"""The output streams of commands, without control characters that a terminal would obey."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from lora_tui.secret import without_held
from lora_tui.text import printable

if TYPE_CHECKING:
    import logging
    import threading


class Output:
    """A text stream that passes all text through `printable`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        """The stream itself, for what draws on a terminal."""

    @property
    def encoding(self) -> str:
        """What its characters are written in."""
        return self.stream.encoding

    def write(self, text: str) -> int:
        """Write text that may hold anything."""
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines that may hold anything."""
        for line in lines:
            self.write(line)

    def rewrite_line(self, text: str) -> None:
        """Show this in place of the line that the cursor of the terminal is on."""
        self.stream.write(f"\r\x1b[K{printable(text)}")
        self.stream.flush()

    def flush(self) -> None:
        """See `TextIO.flush`."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream.isatty()


def log_to_stderr(level: int) -> None:
    """Have what is logged go to stderr, as text."""
    import logging

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(without_held(super().format(record)))

    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an unexpected error; its text may hold remote data."""
    sys.stderr.write(printable(without_held("".join(traceback.format_exception(error)))))


def print_thread_traceback(ended: threading.ExceptHookArgs) -> None:
    """Like `print_traceback`, for `threading.excepthook`."""
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        print_traceback(ended.exc_value)
