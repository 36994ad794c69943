"""What the system tells of a process: its state, its parent, and the lock that it holds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class LockHolder(NamedTuple):
    """The process that holds a lock, as far as the system tells."""

    pid: int | None = None
    suspended: bool = False

    @classmethod
    def of(cls, pid: int | None) -> LockHolder:
        """The process of this number."""
        return cls(pid, pid is not None and is_suspended(pid))

    def __str__(self) -> str:
        """For a sentence: `process 123, which is suspended`."""
        if self.pid is None:
            return "another process"
        return f"process {self.pid}{', which is suspended' if self.suspended else ''}"

    @property
    def remedy(self) -> str:
        """What a user can do about it."""
        if self.pid is None:
            return "wait for the other process, or end it"
        if self.suspended:
            return (
                f"continue it with `kill -CONT {self.pid}` (or `fg` in its terminal),"
                f" or end it with `kill -KILL {self.pid}`"
            )
        return f"wait for process {self.pid}, or end it with `kill {self.pid}`"


def flock_holder(descriptor: int) -> LockHolder:
    """The process that holds the flock of an open file; unknown except on Linux."""
    return _find_holder("FLOCK", os.fstat(descriptor))


def database_writer(path: Path) -> LockHolder:
    """The process that writes to an SQLite file in WAL mode now; unknown except on Linux."""
    try:
        return _find_holder("POSIX", path.with_name(f"{path.name}-shm").stat())
    except OSError:
        return LockHolder()


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP, ctrl+z); False where that can't be told."""
    with suppress(OSError, IndexError):
        return process_status(pid)[0] in ("T", "t")
    return False


def process_status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, see proc_pid_stat(5). Raises OSError."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()  # the program's name may hold spaces and parentheses


def _find_holder(kind: str, status: os.stat_result) -> LockHolder:
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == kind and words[3] == "WRITE" and words[5] == wanted:
                return LockHolder.of(int(words[4]) if int(words[4]) > 0 else None)
    return LockHolder()
