"""The one way to lock a file or a directory against other processes, and to name who holds it.

On a file system without locks, a lock file beside the file names the process that holds the lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from lora_tui.files import NO_LOCK_ERRNOS, PRIVATE_MODE, flock, read_small_text
from lora_tui.locks.presence import begin_heartbeat, end_heartbeat, is_fresh
from lora_tui.processes import (
    LockHolder,
    flock_holder,
    in_use_error,
    is_identity,
    is_process_alive,
    new_identity,
)

SUSPENDED_SECONDS: Final = 10.0
"""The longest wait for a lock whose process is suspended: somebody may be about to continue it."""
DIRECTORY_SECONDS: Final = 30.0
"""The longest wait for the lock of a directory; nobody writes its small files for longer."""

LOOK_SECONDS: Final = 0.1
"""The least patience for a lock that `is_locked` may be looking at."""

_POLL_SECONDS: Final = 0.05
_POLL_LOCK_FILE_SECONDS: Final = 1.0
"""The longest pause between two looks at a lock file: each may make a file on a server."""


class FileLock:
    """An exclusive lock on an open file or directory, which ends with `close` or the process.

    On a file system without locks (some NFS, Lustre, CIFS, FUSE) it is a lock file beside it, see
    LockFile; that of a process that died is taken over.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        """`descriptor` belongs to the lock from now on; `path` is where it was opened."""
        self.descriptor = descriptor
        self._path = path
        self._lock_file: LockFile | None = None

    def acquire(
        self, *, patience: float = 0.0, on_wait: Callable[[LockHolder], None] | None = None
    ) -> LockHolder | None:
        """Take the lock; None when it is taken, else the process that holds it.

        Waits up to `patience` seconds (at most SUSPENDED_SECONDS for a process that is suspended),
        after calling `on_wait` once with the process that holds it. Raises OSError.
        """
        began, pause = time.monotonic(), _POLL_SECONDS
        while not self._try():
            waited = time.monotonic() - began
            if waited >= min(patience, SUSPENDED_SECONDS):
                holder = self.holder()
                if waited >= patience or holder.suspended:
                    return holder
            if on_wait is not None:
                on_wait(self.holder())
                on_wait = None
            time.sleep(pause)
            if self._lock_file is not None:
                pause = min(pause * 1.5, _POLL_LOCK_FILE_SECONDS)
        return None

    def holder(self) -> LockHolder:
        """The process that holds the lock now, as far as the system tells."""
        found = flock_holder(self.descriptor)
        if found.pid is None:
            return lock_file_holder(lock_file_of(self._path)) or found
        return found

    def close(self) -> None:
        """Release the lock and close the file."""
        if self._lock_file is not None:
            self._lock_file.close()
        os.close(self.descriptor)

    def _try(self) -> bool:
        if self._lock_file is None:
            try:
                return flock(self.descriptor)
            except OSError as error:
                if error.errno not in NO_LOCK_ERRNOS:
                    raise
                self._lock_file = LockFile(lock_file_of(self._path))
        return self._lock_file.acquire()


@contextmanager
def locked_file(
    path: Path,
    *,
    patience: float = 0.0,
    on_wait: Callable[[LockHolder], None] | None = None,
) -> Iterator[LockHolder | None]:
    """Hold the lock of a private file, which is made where it is missing and stays there.

    Yields None when the lock is held, else the process that kept it; see `FileLock.acquire`.
    Raises OSError.
    """
    lock = FileLock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE), path)
    try:
        yield lock.acquire(patience=patience, on_wait=on_wait)
    finally:
        lock.close()


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, after waiting for it; it leaves no file behind.

    Raises OSError, and InUseError where another process keeps it for longer than DIRECTORY_SECONDS.
    """
    with _turn_of_thread(directory):
        lock = FileLock(os.open(directory, os.O_RDONLY | os.O_CLOEXEC), directory)
        try:
            holder = lock.acquire(patience=DIRECTORY_SECONDS)
            if holder is not None:
                raise in_use_error(
                    "Another lora-tui is writing in this directory", holder, directory
                )
            yield
        finally:
            lock.close()


@contextmanager
def _turn_of_thread(directory: Path) -> Iterator[None]:
    """Make the threads of this process take turns, so that none polls for another's lock."""
    key = os.path.realpath(directory)
    with _turns_lock:
        turn = _turns.setdefault(key, _Turn())
    taken = turn.lock.acquire(timeout=DIRECTORY_SECONDS)  # if not, `FileLock` explains it
    try:
        yield
    finally:
        if taken:
            turn.lock.release()


class _Turn:
    """A lock that is forgotten when no thread waits for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_turns: Final[WeakValueDictionary[str, _Turn]] = WeakValueDictionary()
_turns_lock: Final = threading.Lock()


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file; None where the file can't be opened.

    Changes no file. It holds the lock itself for a moment: see LOOK_SECONDS.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return not flock(descriptor)
    except OSError:
        return is_held(lock_file_of(path))
    finally:
        os.close(descriptor)


def lock_holder(path: Path) -> LockHolder:
    """The process that holds the lock of a file, as far as the system tells."""
    try:
        lock = FileLock(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
    except OSError:
        return LockHolder()
    try:
        return lock.holder()
    finally:
        lock.close()


def lock_file_of(path: Path) -> Path:
    """The lock file of a file or directory."""
    return path / ".lora-tui.held" if path.is_dir() else path.with_name(f"{path.name}.held")


def lock_file_holder(path: Path) -> LockHolder | None:
    """The process that a lock file names; None where there is no such file."""
    if not os.path.lexists(path):
        return None
    return LockHolder.of_identity(read_small_text(path), path)


def is_held(path: Path) -> bool:
    """Whether there is a lock file whose process may be alive."""
    return os.path.lexists(path) and _may_be_alive(path, read_small_text(path))


class LockFile:
    """The lock file of this process at a path; it has a heartbeat from `acquire` to `close`."""

    def __init__(self, path: Path) -> None:
        """Nothing is made yet."""
        self.path = path
        self._identity = ""
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Make the file; False where another process has one and may be alive. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(2):
            try:
                descriptor = os.open(self.path, flags, PRIVATE_MODE)
            except FileExistsError:
                text = read_small_text(self.path)
                if _may_be_alive(self.path, text) or not _remove(self.path, text):
                    return False
                continue
            identity = new_identity()
            try:
                os.write(descriptor, identity.encode())
            except OSError:
                os.close(descriptor)
                self.path.unlink(missing_ok=True)
                raise
            begin_heartbeat(descriptor)
            self._identity, self._descriptor = identity, descriptor
            return True
        return False

    def close(self) -> None:
        """Remove the file, unless another process has taken this one for dead and made its own."""
        if self._descriptor is None:
            return
        end_heartbeat(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None
        with suppress(OSError):
            _remove(self.path, self._identity)


def _may_be_alive(path: Path, text: str) -> bool:
    """Whether the holder lives; one that can't be told goes by its heartbeat."""
    alive = is_process_alive(text) if is_identity(text) else None
    return is_fresh(path) if alive is None else alive


def _remove(path: Path, text: str) -> bool:
    """Remove the lock file with this text; False where another process does, or it has another.

    Only who makes the directory `claim` removes the file: a process that read the text earlier
    can't remove the file that another one has made since.
    """
    claim = path.with_name(f"{path.name}.removing")
    try:
        claim.mkdir(mode=0o700)
    except FileExistsError:
        if not is_fresh(claim):  # its process was killed
            with suppress(OSError):
                claim.rmdir()
        return False
    except OSError:
        return False
    try:
        if read_small_text(path) != text:
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        with suppress(OSError):
            claim.rmdir()
