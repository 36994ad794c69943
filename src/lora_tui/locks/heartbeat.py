"""Shows other machines and containers that this process is alive: it keeps writing its files.

While a process holds a lock file or a presence file, a thread writes one byte of it, unchanged,
every HEARTBEAT_SECONDS, so that its modification time stays new. Others compare that time with the
time of a new file beside it: both are of the clock of the file system, so wrong clocks of machines
do not matter.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from lora_tui.files import PRIVATE_MODE, new_temporary_file
from lora_tui.processes import DEAD_SECONDS

HEARTBEAT_SECONDS: Final = 20.0


def begin_heartbeat(descriptor: int) -> None:
    """Keep the modification time of an open file new until `end_heartbeat`.

    The file is not empty, and open for reading and writing.
    """
    with _CHANGED:
        _DESCRIPTORS.add(descriptor)
        if not _THREADS:
            _THREADS.append(threading.Thread(target=_run, name="heartbeat", daemon=True))
            _THREADS[0].start()


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


_CHANGED: Final = threading.Condition()
_DESCRIPTORS: Final[set[int]] = set()
_THREADS: Final[list[threading.Thread]] = []
"""The thread while there is one."""


def _run() -> None:
    while True:
        with _CHANGED:
            _CHANGED.wait_for(lambda: not _DESCRIPTORS, timeout=HEARTBEAT_SECONDS)
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
