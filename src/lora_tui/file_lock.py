"""Locks an open file or directory, with a bounded wait, and tells which process holds the lock.

A process that was suspended keeps its locks, so nobody may wait for one without a limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui.errors import InUseError

SUSPENDED_SECONDS: Final = 10.0
"""The wait for a process that is suspended: somebody may be about to continue it."""
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as far as the system tells."""

    pid: int | None = None
    suspended: bool = False

    @classmethod
    def of(cls, pid: int | None) -> Holder:
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


def take_lock(
    descriptor: int, *, patience: float, on_wait: Callable[[], None] | None = None
) -> Holder | None:
    """Lock an open file exclusively; None when it is locked, else the process that holds it.

    Waits up to `patience` seconds (at most SUSPENDED_SECONDS for a process that is suspended),
    after calling `on_wait`. Raises OSError.
    """
    import fcntl  # late: programs that only read load this module too

    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            pass
        waited = time.monotonic() - began
        if waited >= min(patience, SUSPENDED_SECONDS):
            holder = holder_of(descriptor)
            if waited >= patience or holder.suspended:
                return holder
        if on_wait is not None:
            on_wait()
            on_wait = None
        time.sleep(_LOOK_SECONDS)


def in_use(message: str, holder: Holder, place: Path | str) -> InUseError:
    """The error of a lock that could not be had."""
    return InUseError(message, details=f"{place} is held by {holder}", remedy=holder.remedy)


def holder_of(descriptor: int) -> Holder:
    """Who holds the lock on an open file, by what Linux tells of it."""
    return _holder("FLOCK", os.fstat(descriptor))


def writer_of_database(path: Path) -> Holder:
    """Who is writing to a SQLite file in WAL mode just now, by what Linux tells of its locks."""
    try:
        return _holder("POSIX", path.with_name(f"{path.name}-shm").stat())
    except OSError:
        return Holder()


def _holder(kind: str, facts: os.stat_result) -> Holder:
    wanted = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == kind and words[3] == "WRITE" and words[5] == wanted:
                return Holder.of(int(words[4]) if int(words[4]) > 0 else None)
    return Holder()


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP, ctrl+z); False where that can't be told."""
    with suppress(OSError, IndexError):
        return process_status(pid)[0] in ("T", "t")
    return False


def process_status(pid: int) -> list[str]:
    """What Linux tells of a process, from its state on (proc_pid_stat(5)). Raises OSError."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()  # the program's name before it may hold anything
