"""Shows other processes, also of other machines and containers, that this one is alive.

While a process holds a presence file or a lock file, a thread writes one byte of it, unchanged,
every HEARTBEAT_SECONDS, so that its modification time stays new. Others compare that time with the
time of a new file beside it: both are of the clock of the file system, so wrong clocks of machines
do not matter.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from lora_tui.files import (
    NO_LOCK_ERRNOS,
    PRIVATE_MODE,
    flock,
    make_private_directory,
    new_temporary_file,
    read_small_text,
)
from lora_tui.processes import (
    DEAD_SECONDS,
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

HEARTBEAT_SECONDS: Final = 20.0


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


def begin_heartbeat(descriptor: int) -> None:
    """Keep the modification time of an open file new until `end_heartbeat`.

    The file is not empty, and open for reading and writing.
    """
    with _CHANGED:
        _DESCRIPTORS.add(descriptor)
        if not _THREADS:
            _THREADS.append(threading.Thread(target=_run, name="heartbeat", daemon=True))
            _THREADS[0].start()
        _CHANGED.notify_all()


def end_heartbeat(descriptor: int) -> None:
    """Call it before the file is closed; does nothing for a file without a heartbeat."""
    with _CHANGED:
        _DESCRIPTORS.discard(descriptor)
        _CHANGED.notify_all()


def is_fresh(path: Path) -> bool:
    """Whether the file was written in the last DEAD_SECONDS; True where that can't be told.

    False for a missing file.
    """
    age = seconds_since_written(path)
    return os.path.lexists(path) if age is None else age < DEAD_SECONDS


def seconds_since_written(path: Path) -> float | None:
    """How long ago a file was written, by the clock of its file system.

    None where that can't be told, as in a directory in which no file can be made.
    """
    try:
        _refresh(path)
        written = path.lstat().st_mtime
        probe, temporary = new_temporary_file(path.parent, PRIVATE_MODE)
        try:
            os.write(probe, b"\n")
            os.close(os.dup(probe))  # sends it to the server of a network file system
            now = os.fstat(probe).st_mtime
        finally:
            os.close(probe)
            temporary.unlink()
    except OSError:
        return None
    # written in the future: the clock was set back, and nobody has written since
    return abs(now - written)


def _presence_file(directory: Path, name: str) -> Path:
    return directory / name.replace("/", "~")


def _lock(descriptor: int) -> bool | None:
    """Take the lock; False where another process has it, None on a file system without locks."""
    try:
        return flock(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCK_ERRNOS:
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


_CHANGED: Final = threading.Condition()
_DESCRIPTORS: Final[set[int]] = set()
_THREADS: Final[list[threading.Thread]] = []
"""The thread while there is one."""


def _run() -> None:
    while True:
        with _CHANGED:
            if _DESCRIPTORS:
                _CHANGED.wait(HEARTBEAT_SECONDS)
            if not _DESCRIPTORS:
                _THREADS.clear()
                return
            copies = []
            for descriptor in _DESCRIPTORS:
                with suppress(OSError):  # too many open files: tried again
                    copies.append(os.dup(descriptor))
        for copy in copies:
            with suppress(OSError):  # a full disk, a server that is away: tried again
                os.pwrite(copy, os.pread(copy, 1, 0), 0)
            with suppress(OSError):
                os.close(copy)  # sends the byte to the server of a network file system


def _refresh(path: Path) -> None:
    """Have NFS ask the server for the file's times, instead of using older ones."""
    with suppress(OSError):  # a file of another user
        os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))


def _forget() -> None:
    """In a forked process: the files are its parent's, and the thread is not there."""
    _DESCRIPTORS.clear()
    _THREADS.clear()


os.register_at_fork(after_in_child=_forget)
