"""A lock file names the process that holds a lock, on a file system that has no locks itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lora_tui.files import PRIVATE_MODE, read_small_text
from lora_tui.locks.heartbeat import begin_heartbeat, end_heartbeat, is_fresh
from lora_tui.processes import LockHolder, is_identity, is_process_alive, new_identity


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
