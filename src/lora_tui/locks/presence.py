"""Shows other processes, also of other machines and containers, that this one is alive."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from lora_tui.files import (
    PRIVATE_MODE,
    WITHOUT_LOCKS,
    flock,
    make_private_directory,
    read_small_text,
)
from lora_tui.locks.heartbeat import (
    begin_heartbeat,
    end_heartbeat,
    is_fresh,
    seconds_since_written,
)
from lora_tui.processes import (
    LockHolder,
    has_same_kernel,
    is_identity,
    is_process_alive,
    new_identity,
)

_TEMPORARY: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
"""Errors that tell nothing about the file."""
_KEEP_SECONDS: Final = 86_400.0
"""How long the presence file of a process that may be dead stays there."""
_SHOWING: Final = threading.Lock()
_SHOWN: Final[dict[tuple[Path, str], Presence]] = {}
"""What `show_presence` shows."""


class Presence:
    """A file that is locked and has a heartbeat while this process is alive.

    The system drops the lock however the process ends.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """Make and lock the file of `name` in `directory`, which is made. Raises OSError."""
        make_private_directory(directory)
        _remove_old_files(directory)
        self._path = _presence_file(directory, name)
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, PRIVATE_MODE)
            try:
                os.ftruncate(self._descriptor, 0)
                os.write(self._descriptor, new_identity().encode())
                locked = _lock(self._descriptor) is not False
                # `is_present` of another process may have locked or removed it meanwhile
                if locked and os.fstat(self._descriptor).st_nlink:
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)
        begin_heartbeat(self._descriptor)

    def close(self) -> None:
        """Show no presence any more."""
        end_heartbeat(self._descriptor)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_present(directory: Path, name: str) -> bool:
    """Whether the process that shows its presence by `name` is alive.

    Where it is certainly dead, its file is removed; a file that only lacks a heartbeat is left.
    """
    try:
        path = _presence_file(directory, name)
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except ValueError:
        return False
    except OSError as error:
        if error.errno == errno.EACCES:  # of another user
            return is_fresh(path)
        return error.errno in _TEMPORARY
    try:
        identity = read_small_text(path)
        alive = is_process_alive(identity) if is_identity(identity) else None
        if alive:
            return True
        is_free = _lock(descriptor)
        if is_free is False:
            return True
        if alive is None and not (is_free and has_same_kernel(identity)):
            return is_fresh(path)
        path.unlink(missing_ok=True)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def show_presence(directory: Path, name: str) -> None:
    """Show the presence of this process by `name` until it ends. Raises OSError."""
    with _SHOWING:
        if (directory, name) not in _SHOWN:
            _SHOWN[directory, name] = Presence(directory, name)


def present_process(directory: Path, name: str) -> LockHolder:
    """The process that shows its presence by `name`, as far as its file tells."""
    identity = read_small_text(_presence_file(directory, name))
    if not identity:  # earlier versions wrote none, and named the file PID-random
        identity = name if is_identity(name) else name.partition("-")[0]
    return LockHolder.of_identity(identity)


def is_alive(identity: str, directory: Path) -> bool:
    """Whether a process runs; see `is_process_alive`.

    A process of another machine or container counts as alive while it shows its presence in
    `directory` by its identity.
    """
    alive = is_process_alive(identity)
    return is_present(directory, identity) if alive is None else alive


def _presence_file(directory: Path, name: str) -> Path:
    return directory / name.replace("/", "~")


def _lock(descriptor: int) -> bool | None:
    """Take the lock; False where another process has it, None on a file system without locks."""
    try:
        return flock(descriptor)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return None


def _remove_old_files(directory: Path) -> None:
    """Remove the files of processes that nobody can tell to be dead, after a day."""
    with suppress(OSError):
        for path in directory.iterdir():
            with suppress(OSError, ValueError):
                if not path.is_file() or is_present(directory, path.name):
                    continue
                age = seconds_since_written(path)
                if age is not None and age > _KEEP_SECONDS:
                    path.unlink(missing_ok=True)
