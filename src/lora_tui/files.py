"""Writes files in one step, keeps them private, reads small ones safely, and explains disk errors.

Locks between processes are in the package `locks`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from lora_tui.errors import DiskError

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o666
"""The mode of public files, before the umask."""
NO_LOCK_ERRNOS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What flock answers on a file system that has no locks."""

_PREFIX, _SUFFIX = ".lora-tui-", ".tmp"


# Private directories, and files that are replaced in one step -----------------------------------


def make_private_directory(directory: Path) -> None:
    """Make a directory and its missing parents with mode 0700; existing ones keep their mode.

    Raises OSError.
    """
    # mkdir's own `parents` would give the parents the mode that the umask leaves
    for missing in reversed([p for p in (directory, *directory.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(exist_ok=True)  # raises where a file is in its place


def write_private_file(path: Path, text: str) -> None:
    """Replace a private file in one step; missing directories are made. Raises OSError."""
    make_private_directory(path.parent)
    write_file(path, text)


def write_file(path: Path, text: str, *, mode: int = PRIVATE_MODE, durable: bool = False) -> None:
    """Replace a file in one step; see `replacing_file`. Raises OSError."""
    with replacing_file(path, mode=mode, durable=durable) as (file, _):
        file.write(text)


@contextmanager
def replacing_file(
    path: Path, *, mode: int = PRIVATE_MODE, durable: bool = False
) -> Iterator[tuple[TextIO, Path]]:
    """A new file beside `path`, which takes its name when the block ends without an error.

    Yields the open file and its temporary path. No link is followed: the temporary name can't be
    guessed and did not exist, and a link called `path` is replaced, not its target. `durable`: the
    bytes are on the disk before they have the name. Raises OSError.
    """
    descriptor, temporary = new_temporary_file(path.parent, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file, temporary
            file.flush()
            if durable:
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def set_aside(path: Path) -> Path:
    """Rename a damaged file to `NAME.damaged-<n>`; returns its new path. Raises OSError."""
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    return path.rename(kept)


def remove_abandoned_files(directory: Path) -> None:
    """Remove the temporary files that killed processes left in `directory`."""
    with suppress(OSError):
        # all sixteen digits: a file of the user with a similar name is not ours
        for path in directory.glob(f"{_PREFIX}{'[0-9a-f]' * 16}{_SUFFIX}"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if flock(descriptor):
                        path.unlink()
                finally:
                    os.close(descriptor)


def read_regular_file(path: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file; no link is followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(most)


def read_small_text(path: Path, most: int = 1_000) -> str:
    """The text of a small file; empty where it can't be read."""
    with suppress(OSError, UnicodeDecodeError):
        return read_regular_file(path, most).decode()
    return ""


def file_stamp(place: Path | int) -> str:
    """What tells a file, or an open one, from its earlier versions; empty where there is none."""
    try:
        status = os.stat(place)  # noqa: PTH116 - also of a descriptor
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def new_temporary_file(directory: Path, mode: int) -> tuple[int, Path]:
    """A new file, locked while it is open, so that `remove_abandoned_files` leaves it."""
    while True:
        path = directory / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, mode)
        except FileExistsError:
            continue
        try:
            try:
                locked = flock(descriptor)
            except OSError:  # a file system without locks
                locked = True
            # else somebody took it for abandoned before it was locked: it is removed, or will be
            if locked and os.fstat(descriptor).st_nlink:
                return descriptor, path
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


# What a file system can do ----------------------------------------------------------------------


def flock(descriptor: int) -> bool:
    """Lock an open file exclusively; False where somebody else has the lock.

    Raises OSError, one of NO_LOCK_ERRNOS where the file system has no locks.
    """
    import fcntl  # late: programs that only read load this module too

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_locks(directory: Path) -> bool:
    """Whether the file system of an existing directory has file locks. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flock(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCK_ERRNOS:
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def free_bytes(place: Path | int) -> int:
    """The free bytes of a user's on the file system of a path or an open file. Raises OSError."""
    usage = os.statvfs(place)
    return usage.f_bavail * usage.f_frsize


def file_system_of(path: Path) -> str:
    """The type of the file system of a path: "nfs4"; "unknown" except on Linux."""
    place, found = os.path.realpath(path), ("", "unknown")
    for line in read_small_text(Path("/proc/self/mounts"), most=1 << 20).splitlines():
        _, mount, kind, *_ = (*line.split(" "), "", "", "")
        mount = mount.replace("\\040", " ")
        if f"{place}/".startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


# Errors of the file system ----------------------------------------------------------------------


class Reason(NamedTuple):
    """Why a file can't be used, and what to do about it."""

    words: str
    """A few words: "the disk is full"."""
    remedy: str | None
    """None where none is known."""
    elsewhere_helps: bool = True
    """Whether another directory may do."""

    def remedy_or(self, instead: str | None) -> str | None:
        """The remedy, with `instead` ("choose another directory with --to") where it may help."""
        if not self.elsewhere_helps or not instead:
            return self.remedy
        return f"{self.remedy}, or {instead}" if self.remedy else instead


def disk_error(
    error: OSError,
    what: str,
    path: str | os.PathLike[str] | None = None,
    *,
    instead: str | None = None,
) -> DiskError:
    """The error for a user.

    `what` is the sentence without its reason, as in "The report can't be written"; `instead` is
    another way out, as in "choose another directory with --to".
    """
    place = path if path is not None else error.filename
    reason = disk_error_reason(error)
    return DiskError(
        f"{what}: {reason.words}",
        details=None if place is None else str(place),
        remedy=reason.remedy_or(instead),
    )


@contextmanager
def translate_disk_errors(
    what: str, path: str | os.PathLike[str] | None = None, *, instead: str | None = None
) -> Iterator[None]:
    """Raise every OSError of the block as `disk_error` words it."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, what, path, instead=instead) from error


def disk_error_reason(error: OSError) -> Reason:
    """Why the file system refused."""
    words = error.strerror or type(error).__name__
    fallback = Reason(words[:1].lower() + words[1:], None)
    return BY_ERRNO.get(error.errno, fallback) if error.errno is not None else fallback


_DENIED: Final = Reason("permission denied", "check the directory's owner and permissions")
_TOO_MANY_OPEN: Final = Reason(
    "too many files are open", "raise the limit (`ulimit -n`), or end other programs", False
)
_UNSUPPORTED: Final = Reason("this file system can't do that", "use a directory on a local disk")

BY_ERRNO: Final = {
    errno.ENOSPC: Reason("the disk is full", "free some space"),
    errno.EDQUOT: Reason("the disk quota is used up", "free some space, or have the quota raised"),
    errno.EFBIG: Reason(
        "the file gets larger than is allowed here",
        "look at the limits of the file system and of the process (`ulimit -f`)",
    ),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: Reason(
        "the file system is read-only",
        "mount it for writing (a disk that fails is mounted read-only)",
    ),
    errno.ENOENT: Reason(
        "no such file or directory",
        "it was moved or deleted meanwhile, or its path is wrong: check it, then try again",
        elsewhere_helps=False,
    ),
    errno.EIO: Reason(
        "the disk fails (input/output error)", "look at the disk and at the system's log"
    ),
    errno.ENOTDIR: Reason(
        "a part of its path is a file and not a directory", "move that file away"
    ),
    errno.EISDIR: Reason("there is a directory of that name", "rename or move that directory"),
    errno.EEXIST: Reason("there is something else of that name", "rename or move it"),
    errno.ENOTEMPTY: Reason("the directory is not empty", "look at what is in it"),
    errno.ENAMETOOLONG: Reason("the name is too long for this file system", "use a shorter path"),
    errno.ELOOP: Reason(
        "it is a symbolic link, or the links on its path form a loop", "remove the link"
    ),
    errno.EMFILE: _TOO_MANY_OPEN,
    errno.ENFILE: _TOO_MANY_OPEN,
    errno.EBUSY: Reason("it is in use", "end the program that uses it, then try again", False),
    errno.ESTALE: Reason("the network file system has lost it", "mount it again, then try again"),
    errno.ENOLCK: _UNSUPPORTED,
    errno.ENOTSUP: _UNSUPPORTED,
    errno.EOPNOTSUPP: _UNSUPPORTED,
    errno.ENOSYS: _UNSUPPORTED,
    errno.ENOMEM: Reason("there is not enough memory", "end other programs", False),
}
