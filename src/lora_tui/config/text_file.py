"""Reads a file of the configuration, or a pipe that a program writes a secret to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from lora_tui.errors import ConfigError
from lora_tui.files import disk_error_reason

UNOPENED_PIPE_SECONDS = 5.0
"""How long a program is waited for that opens the pipe which NAME_FILE names."""
PIPE_SECONDS = 60.0
"""The same until that program has written the value; it may ask for a password first."""
_MOST_BYTES: Final = 1 << 20


def read_text_file(path: Path | str, what: str) -> str:
    """The text of a file of the configuration, or of a pipe such as `<(pass show NAME)`.

    Raises FileNotFoundError, and ConfigError where it is neither, is too large, or nothing is
    written to the pipe in time. A pipe is read once; later calls return the same text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            mode, pipe = status.st_mode, (status.st_dev, status.st_ino)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, "Is a directory")
            if stat.S_ISFIFO(mode):
                if pipe not in _piped:
                    _piped[pipe] = _decoded(_read_pipe(descriptor))
                return _piped[pipe]
            if not stat.S_ISREG(mode) and os.fspath(path) != os.devnull:
                raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
            with open(descriptor, "rb", closefd=False) as file:
                return _decoded(_checked_size(file.read(_MOST_BYTES + 1)))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, what, path) from None


_piped: dict[tuple[int, int], str] = {}
"""Device and inode of a pipe → the text that was read from it."""


def _read_pipe(descriptor: int) -> bytes:
    """All that is written to a pipe. Raises OSError."""
    import select
    import time

    began, read, is_open = time.monotonic(), b"", False
    while True:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:  # a program has it open
            chunk, is_open = b"", True
        else:
            if read and not chunk:  # it has ended
                return read
            is_open = is_open and bool(chunk)
            read = _checked_size(read + chunk)
        patience = PIPE_SECONDS if is_open or read else UNOPENED_PIPE_SECONDS
        left = began + patience - time.monotonic()
        if left <= 0:
            raise OSError(
                errno.EINVAL, f"no program has written it to this pipe within {patience:g} s"
            )
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not chunk and any(event == select.POLLHUP for _, event in poll.poll(left * 1000)):
            return read  # a program has opened and closed it


def _decoded(data: bytes) -> str:
    """The text without a byte order mark; `list` has no time to load the codec for that."""
    return data.decode().removeprefix("\ufeff")


def _checked_size(data: bytes) -> bytes:
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EINVAL, f"it is larger than {_MOST_BYTES >> 20} MiB")
    return data


def unreadable(error: OSError | UnicodeDecodeError, what: str, path: Path | str) -> ConfigError:
    """The error for a file of the configuration that can't be read."""
    otherwise = f"correct {what}" if what.endswith("_FILE") else None
    if isinstance(error, UnicodeDecodeError):
        return ConfigError(
            f"{what} can't be read: it is not UTF-8 text",
            details=str(path),
            remedy=f"{otherwise}, or the file that it names" if otherwise else None,
        )
    reason = disk_error_reason(error)
    return ConfigError(
        f"{what} can't be read: {reason.words}",
        details=str(path),
        remedy=reason.remedy or otherwise,
    )
