"""Textual's driver of a terminal, which puts it back also after a fault of Textual itself."""

from __future__ import annotations

import errno
import os
import termios
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final, cast

from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver

from lora_tui.tui.paste import PasteParser
from lora_tui.tui.terminal import exit_on_signals, terminal_is_gone_error

if TYPE_CHECKING:
    from lora_tui.tui.base_app import BaseApp

cast("Any", linux_driver).XTermParser = PasteParser  # the driver takes no other by itself
_WRITER_SECONDS: Final = 2.0
_STDERR: Final = 2
"""Where Textual draws."""
_PUT_BACK: Final = (
    "\x1b[?2004l"  # no bracketed paste
    "\x1b[?7h"  # lines wrap
    "\x1b[?2048l"  # no reports of a new size
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # no mouse
    "\x1b[<u"  # keys as they were
    "\x1b[?1049l"  # the screen of the shell
    "\x1b[?25h"  # a cursor
    "\x1b[?1004l"  # no reports of the focus
)


class _Screen:
    """A file that leaves out what can't be written, because the terminal is gone.

    An error would end Textual's thread that writes; the application, which waits for room in the
    queue of that thread, would never end.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """Knows whether it has the terminal, and can give it back at any moment."""

    _has_terminal = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file = cast("Any", _Screen(cast("IO[str]", self._file)))

    def start_application_mode(self) -> None:
        """Take the terminal. From then on a signal that ends the application gives it back."""
        self._has_terminal = True
        exit_on_signals(cast("BaseApp", self._app))
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Give the terminal back."""
        super().stop_application_mode()
        self._has_terminal = False

    def put_back(self) -> None:
        """Give the terminal back if that has not happened, after the application has ended."""
        writer = self._writer_thread
        self.exit_event.set()  # the thread that reads keys ends
        if self._has_terminal:
            self._has_terminal = False
            if writer is not None and writer.is_alive():
                with suppress(Exception):
                    writer._queue.put_nowait(None)
                    writer.join(_WRITER_SECONDS)
            if self.attrs_before is not None:
                with suppress(termios.error):
                    termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
            with suppress(OSError):
                os.write(_STDERR, _PUT_BACK.encode())

    def _run_input_thread(self) -> None:
        """Report an error of the thread that reads keys; Textual would exit with 0.

        A terminal that is gone is no error: the application exits.
        """
        try:
            self.run_input_thread()
        except Exception as error:
            app = cast("BaseApp", self._app)
            with suppress(RuntimeError):  # the loop is closed: the application has ended
                if isinstance(error, OSError) and error.errno == errno.EIO:
                    self._loop.call_soon_threadsafe(app.exit_with, terminal_is_gone_error())
                else:
                    self._loop.call_soon_threadsafe(app._handle_exception, error)
