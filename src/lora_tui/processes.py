"""Names a process so that other machines understand it, and tells whether it is alive."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple


def new_identity() -> str:
    """A new name for this process: `host/pid/random.started.machine`.

    `started` is when the process began, in ticks of the system's clock; `machine` names the boot of
    the system and the container. Each is empty where it is unknown.
    """
    pid = os.getpid()
    unique = os.urandom(4).hex()
    _OWN.add(unique)
    return f"{host_name()}/{pid}/{unique}.{_started(pid)}.{read_machine()}"


def is_process_alive(identity: str) -> bool | None:
    """Whether the process of that identity runs; None where only another container can tell.

    Understands the identities of earlier versions as well: `host/pid/random`, and a bare number.
    False for any other text. A number that was given to another process meanwhile is noticed.
    """
    found = _IDENTITY.fullmatch(identity)
    if found is None:
        return False
    host, pid = found["host"], int(found["pid"])
    started, machine = found["started"] or "", found["machine"] or ""
    here = read_machine()
    if machine and here:
        boot, _, container = machine.partition("-")
        if (boot, container) != tuple(here.split("-", 1)):
            rebooted = host == host_name() and boot != here.partition("-")[0]
            return False if rebooted else None
    elif host is not None and host != host_name():
        return None
    if pid == os.getpid():
        return found["unique"] in _OWN or found["unique"] is None
    return _exists(pid) and (not started or _started(pid) in ("", started))


def host_name() -> str:
    """The name of this machine or container."""
    return os.uname().nodename


def read_machine() -> str:
    """`boot-container`: which boot of the system and which set of process numbers this is.

    Empty except on Linux.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - no file
    except OSError:
        return ""
    return f"{boot.replace('-', '')[:12]}-{namespace}"


class LockHolder(NamedTuple):
    """The process that holds a lock, as far as the system tells."""

    pid: int | None = None
    suspended: bool = False
    host: str | None = None
    """The name of its machine or container where that is another one."""
    lock_file: Path | None = None
    """What to remove where the process is gone; only where the file system has no locks."""

    @classmethod
    def of(cls, pid: int | None) -> LockHolder:
        """The process of this number, on this machine."""
        return cls(pid, pid is not None and is_suspended(pid))

    @classmethod
    def of_identity(cls, identity: str, lock_file: Path | None = None) -> LockHolder:
        """The process of an identity."""
        found = _IDENTITY.fullmatch(identity)
        if found is None:
            return cls(lock_file=lock_file)
        pid = int(found["pid"])
        if is_process_alive(identity) is None:
            return cls(pid, host=found["host"], lock_file=lock_file)
        return cls(pid, is_suspended(pid), lock_file=lock_file)

    def __str__(self) -> str:
        """For a sentence: `process 123, which is suspended`."""
        if self.pid is None:
            return "another process"
        place = f" on {self.host}" if self.host else ""
        return f"process {self.pid}{place}{', which is suspended' if self.suspended else ''}"

    @property
    def remedy(self) -> str:
        """What a user can do about it."""
        if self.host:
            remedy = f"wait for process {self.pid} on {self.host}, or end it there"
            return f"{remedy}; if it is gone, delete {self.lock_file}" if self.lock_file else remedy
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


_OWN: Final[set[str]] = set()
"""The random parts of the identities of this process."""
_IDENTITY: Final = re.compile(
    r"(?:(?P<host>[^/\0]+)/)?(?P<pid>[1-9][0-9]{0,8})"
    r"(?:/(?P<unique>[^/.\0]+)(?:\.(?P<started>[0-9]*)\.(?P<machine>[^/.\0]*))?)?",
    re.ASCII,
)
_STARTED: Final = 19
"""The place of the start among `process_status`."""


def _started(pid: int) -> str:
    with suppress(OSError, IndexError):
        return process_status(pid)[_STARTED]
    return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _find_holder(kind: str, status: os.stat_result) -> LockHolder:
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == kind and words[3] == "WRITE" and words[5] == wanted:
                return LockHolder.of(int(words[4]) if int(words[4]) > 0 else None)
    return LockHolder()
