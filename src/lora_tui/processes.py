"""Starts, ranks and names a process, and tells whether one is alive, also of other machines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui.errors import InUseError, LoraTuiError

DEAD_SECONDS: Final = 180.0
"""A process of another machine or container that wrote no heartbeat for so long counts as dead."""


def module_command(name: str) -> list[str]:
    """The words that run a module of ours in a process of its own, by the same interpreter.

    There, too, names of files are UTF-8 whatever the locale is, and no module of the working
    directory is loaded in place of ours.
    """
    return [sys.executable, "-X", "utf8", "-P", "-m", name]


def plain_environment(environment: Mapping[str, str], *more: str) -> dict[str, str]:
    """The environment of a command of the user, and the variables that `more` names.

    Only what is known to hold no secret: a list of secrets would lack the next one.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _PASSED_ON or name in more or name.startswith("LC_")
    }


def yield_to_others(nice: int) -> None:
    """Lower the priority of this process, and of the session that it leads, where the system can.

    Linux shares the processors between sessions before it looks at the processes in them
    (sched(7), autogroup), so that the priority of a process that leads a session says nothing
    to the others. A batch process doesn't interrupt one that has just been woken, by a key say.
    """
    with suppress(OSError):
        os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def new_identity() -> str:
    """A new name for this process: `host/pid/random.started.machine`.

    `started` is when the process began, in ticks of the system's clock; `machine` is `read_machine`
    (each is empty where it is unknown).
    """
    pid = os.getpid()
    unique = os.urandom(4).hex()
    _OWN.add(unique)
    return f"{host_name()}/{pid}/{unique}.{_started(pid)}.{read_machine()}"


def is_identity(text: str) -> bool:
    """Whether a text is an identity, of this version or an earlier one."""
    return _IDENTITY.fullmatch(text.strip()) is not None


def is_process_alive(identity: str) -> bool | None:
    """Whether the process of that identity runs; None where its PID tells nothing here.

    A PID counts only on the same machine in the same PID namespace: the host name, the boot of the
    system and the namespace must all be the same. It is False for a process from before this
    machine was started again, and where another process has the PID now; None for every other
    machine or container, also one with the same host name: ask `locks.presence` or
    `locks.file_lock`, which go by heartbeats.

    Understands the identities of earlier versions as well: `host/pid/random`, and a bare PID;
    these are never certain to be dead. False for any other text.
    """
    found = _IDENTITY.fullmatch(identity.strip())
    if found is None:
        return False
    pid, started = int(found["pid"]), found["started"] or ""
    same_host = found["host"] is None or found["host"] == host_name()
    there, here = _Machine.of(found["machine"] or ""), _Machine.of(read_machine())
    if found["machine"] is not None and (there.boot or here.boot):
        if not (same_host and there[:2] == here[:2]):
            restarted = same_host and here.was_restarted_since(there)
            return False if restarted else None
    elif not same_host:
        return None
    if found["machine"] is None and not _exists(pid):
        return None
    if pid == os.getpid():
        return found["unique"] in _OWN or found["unique"] is None
    return _exists(pid) and (not started or _started(pid) in ("", started))


def has_same_kernel(identity: str) -> bool:
    """Whether that process runs, or ran, on this boot of this machine, in any container.

    Only then is it certain that both see the same file locks: some file systems that machines share
    keep locks to each machine.
    """
    found = _IDENTITY.fullmatch(identity.strip())
    if found is None:
        return False
    there, here = _Machine.of(found["machine"] or ""), _Machine.of(read_machine())
    if there.boot or here.boot:
        return there.boot == here.boot
    return found["host"] is None or found["host"] == host_name()


def host_name() -> str:
    """The name of this machine or container; several may have the same."""
    return os.uname().nodename


def read_machine() -> str:
    """`boot-namespace-installation` of this process; empty except on Linux.

    `boot` changes when the machine starts, `namespace` is the PID namespace, and
    `installation` identifies the operating system. The last is empty in a container, as all
    containers of one image may have the same.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - no file
        cgroup = os.stat("/proc/self/ns/cgroup").st_ino  # noqa: PTH116 - no file
    except OSError:
        return ""
    in_container = (namespace, cgroup) != _FIRST_NAMESPACES
    installation = "" if in_container else _read_installation()
    return f"{boot.replace('-', '')[:12]}-{namespace}-{installation}"


class LockHolder(NamedTuple):
    """The process that holds a lock, as far as the system tells."""

    pid: int | None = None
    suspended: bool = False
    host: str | None = None
    """The name of its machine or container where that is another one."""
    lock_file: Path | None = None
    """What names the process; only where the file system has no locks."""

    @classmethod
    def of(cls, pid: int | None) -> LockHolder:
        """The process of this number, on this machine."""
        return cls(pid, pid is not None and is_suspended(pid))

    @classmethod
    def of_identity(cls, identity: str, lock_file: Path | None = None) -> LockHolder:
        """The process of an identity; unknown for a damaged one."""
        found = _IDENTITY.fullmatch(identity.strip())
        if found is None:
            return cls(lock_file=lock_file)
        pid = int(found["pid"])
        if is_process_alive(identity) is None:
            host = found["host"] and "".join(c if c.isprintable() else "?" for c in found["host"])
            return cls(pid, host=host, lock_file=lock_file)
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
        if self.host or (self.pid is None and self.lock_file):
            place = f" on {self.host}, or end it there" if self.host else ", or end it"
            remedy = f"wait for {f'process {self.pid}' if self.pid else 'the other process'}{place}"
            if not self.lock_file:
                return remedy
            minutes = DEAD_SECONDS / 60
            return (
                f"{remedy}; if it is gone, its lock ends within {minutes:g} minutes,"
                f" or at once when you delete {self.lock_file}"
            )
        if self.pid is None:
            return "wait for the other process, or end it"
        if self.suspended:
            return (
                f"continue it with `kill -CONT {self.pid}` (or `fg` in its terminal),"
                f" or end it with `kill -KILL {self.pid}`"
            )
        return f"wait for process {self.pid}, or end it with `kill {self.pid}`"


def in_use_error(
    message: str, holder: LockHolder, place: Path | str, kind: type[LoraTuiError] = InUseError
) -> LoraTuiError:
    """The error of a file or lock at `place` that another process keeps."""
    return kind(message, details=f"{place} is held by {holder}", remedy=holder.remedy)


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


_PASSED_ON: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        # notify-send and its like
        *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"),
        "DBUS_SESSION_BUS_ADDRESS",
    }
)
_OWN: Final[set[str]] = set()
"""The random parts of the identities of this process."""
_IDENTITY: Final = re.compile(
    r"(?:(?P<host>[^/\0]+)/)?(?P<pid>[1-9][0-9]{0,8})"
    r"(?:/(?P<unique>[^/.\0]+)(?:\.(?P<started>[0-9]*)\.(?P<machine>[^/.\0]*))?)?",
    re.ASCII,
)
_FIRST_NAMESPACES: Final = (0xEFFFFFFC, 0xEFFFFFFB)
"""The inode numbers of the PID and cgroup namespaces outside of any container (Linux)."""
_STARTED: Final = 19
"""The place of the start among `process_status`."""


class _Machine(NamedTuple):
    """The parts of `read_machine`."""

    boot: str
    namespace: str
    installation: str

    @classmethod
    def of(cls, text: str) -> _Machine:
        boot, namespace, installation = (*text.split("-", 2), "", "", "")[:3]
        return cls(boot, namespace, installation)

    def was_restarted_since(self, before: _Machine) -> bool:
        """Whether `before` is certainly an earlier boot of this machine."""
        same = self.installation != "" and self.installation == before.installation
        return same and self.boot != before.boot


def _read_installation() -> str:
    """A number that is made when the operating system is installed; its hash, as it is secret."""
    from hashlib import sha256  # late: programs that only read load this module too

    with suppress(OSError):
        number = Path("/etc/machine-id").read_bytes().strip()
        return sha256(b"lora-tui" + number).hexdigest()[:12] if number else ""
    return ""


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
    with suppress(OSError, IndexError):
        return process_status(pid)[0] not in ("Z", "X")  # it ended, its parent has not seen it yet
    return True


def _find_holder(kind: str, status: os.stat_result) -> LockHolder:
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == kind and words[3] == "WRITE" and words[5] == wanted:
                return LockHolder.of(int(words[4]) if int(words[4]) > 0 else None)
    return LockHolder()
