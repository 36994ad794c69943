"""Turns errors of the file system and of SQLite into errors with a fitting message and remedy.

The one place that reads `errno` and SQLite's result codes for a user.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui.errors import DiskError

__all__ = [
    "disk_error",
    "explained_disk_errors",
    "is_full",
    "no_room",
    "reason_of",
    "remedy_of",
    "sqlite_code",
]


def disk_error(
    error: BaseException,
    what: str,
    path: str | os.PathLike[str] | None = None,
    *,
    instead: str | None = None,
) -> DiskError:
    """The error for a user.

    `what` is the sentence without its reason, as in "The report can't be written"; `instead` is
    another way out, as in "choose another directory with --to". `error` is an OSError or of SQLite.
    """
    place = path if path is not None else getattr(error, "filename", None)
    details = None if place is None else str(place)
    if sqlite_code(error) is not None:
        details = f"{details}: {error}" if details else str(error)
    return DiskError(
        f"{what}: {reason_of(error, path)}", details=details, remedy=remedy_of(error, path, instead)
    )


@contextmanager
def explained_disk_errors(
    what: str, path: str | os.PathLike[str] | None = None, *, instead: str | None = None
) -> Iterator[None]:
    """Every OSError of the block as `disk_error` says it."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, what, path, instead=instead) from error


def reason_of(error: BaseException, path: str | os.PathLike[str] | None = None) -> str:
    """Why, in a few words: "the disk is full". `path` is the file, where the error lacks it."""
    return _known(error, path).words


def remedy_of(
    error: BaseException,
    path: str | os.PathLike[str] | None = None,
    instead: str | None = None,
) -> str | None:
    """What to do about it; None where nobody knows."""
    known = _known(error, path)
    if not known.elsewhere_helps or not instead:
        return known.remedy
    return f"{known.remedy}, or {instead}" if known.remedy else instead


def is_full(error: BaseException) -> bool:
    """Whether there is no room: the disk, a quota, or a limit on the size of files."""
    if sqlite_code(error) is not None:
        return sqlite_code(error) == _FULL
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    )


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's primary result code; None where it is no error of SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def no_room(
    needed: int, free: int, directory: str | os.PathLike[str], *, margin: int, instead: str
) -> DiskError:
    """There is not room for `needed` bytes beside a margin that stays free, all in bytes."""
    with_margin = f", incl. a margin of {margin:,} that stays free" if margin else ""
    return DiskError(
        "There is not enough space on the disk",
        details=f"{needed + margin:,} bytes are needed{with_margin};"
        f" {free:,} are free in {directory}",
        remedy=f"free some space, or {instead}",
    )


class _Reason(NamedTuple):
    words: str
    remedy: str | None
    elsewhere_helps: bool = True


_DENIED: Final = _Reason("permission denied", "check the directory's owner and permissions")
_READ_ONLY: Final = _Reason(
    "the file system is read-only", "mount it for writing (a disk that fails is mounted read-only)"
)
_DISK_FULL: Final = _Reason("the disk is full", "free some space")
_DISK_FAILS: Final = _Reason(
    "the disk fails (input/output error)", "look at the disk and at the system's log"
)
_GONE: Final = _Reason(
    "no such file or directory",
    "it was moved or deleted meanwhile, or its path is wrong: check it, then try again",
    elsewhere_helps=False,
)
_TOO_MANY_OPEN: Final = _Reason(
    "too many files are open", "raise the limit (`ulimit -n`), or end other programs", False
)
_HELD: Final = _Reason(
    "another process holds it", "end the other lora-tui, or wait for it; then try again", False
)
_UNSUPPORTED: Final = _Reason(
    "this file system can't do that", "use a directory on a local disk", True
)

_BY_ERRNO: Final = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _Reason("the disk quota is used up", "free some space, or have the quota raised"),
    errno.EFBIG: _Reason(
        "the file gets larger than is allowed here",
        "look at the limits of the file system and of the process (`ulimit -f`)",
    ),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _READ_ONLY,
    errno.ENOENT: _GONE,
    errno.EIO: _DISK_FAILS,
    errno.ENOTDIR: _Reason(
        "a part of its path is a file and not a directory", "move that file away"
    ),
    errno.EISDIR: _Reason("a directory is in its place", "move it away"),
    errno.EEXIST: _Reason("something else of that name is in its place", "move it away"),
    errno.ENOTEMPTY: _Reason("the directory is not empty", "look at what is in it"),
    errno.ENAMETOOLONG: _Reason("the name is too long for this file system", "use a shorter path"),
    errno.ELOOP: _Reason(
        "a symbolic link is in its place, or the links form a loop", "remove the link"
    ),
    errno.EMFILE: _TOO_MANY_OPEN,
    errno.ENFILE: _TOO_MANY_OPEN,
    errno.EBUSY: _Reason("it is in use", "end the program that uses it, then try again", False),
    errno.ESTALE: _Reason("the network file system has lost it", "mount it again, then try again"),
    errno.ENOLCK: _UNSUPPORTED,
    errno.ENOTSUP: _UNSUPPORTED,
    errno.EOPNOTSUPP: _UNSUPPORTED,
    errno.ENOSYS: _UNSUPPORTED,
    errno.ENOMEM: _Reason("there is not enough memory", "end other programs", False),
}

# SQLite's primary result codes; its module is not imported for them
_PERM, _BUSY, _LOCKED, _NOMEM, _READONLY, _IOERR = 3, 5, 6, 7, 8, 10
_CORRUPT, _FULL, _CANTOPEN, _NOTADB = 11, 13, 14, 26
_DAMAGED: Final = _Reason("the file is damaged", "move it away; a new one will be created", False)
_NO_ACCESS: Final = _Reason(
    "permission denied or read-only", "check the directory's owner and permissions"
)
_BY_SQLITE_CODE: Final = {
    _FULL: _DISK_FULL,
    _IOERR: _Reason("the disk fails or is full", "look at the disk, its space and the quota"),
    _READONLY: _NO_ACCESS,
    _CANTOPEN: _NO_ACCESS,
    _PERM: _NO_ACCESS,
    _CORRUPT: _DAMAGED,
    _NOTADB: _DAMAGED,
    _BUSY: _HELD,
    _LOCKED: _HELD,
    _NOMEM: _BY_ERRNO[errno.ENOMEM],
}
_LEAST_FREE: Final = 64 << 10
"""Bytes; with less than this SQLite can't even begin a journal."""


def _known(error: BaseException, path: str | os.PathLike[str] | None) -> _Reason:
    code = sqlite_code(error)
    if code is None:
        number = error.errno if isinstance(error, OSError) else None
        words = getattr(error, "strerror", None) or type(error).__name__
        fallback = _Reason(words[:1].lower() + words[1:], None)
        return _BY_ERRNO.get(number, fallback) if number is not None else fallback
    if code in (_IOERR, _READONLY, _CANTOPEN, _PERM) and path is not None:
        found = _probed(Path(path))
        if found is not None:
            return found
    return _BY_SQLITE_CODE.get(code, _Reason(str(error), None))


def _probed(path: Path) -> _Reason | None:
    """SQLite keeps the `errno` to itself: ask the file system what is the matter with this file.

    The file is not opened: closing it would drop the locks of this process's other connections.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # where no file can be opened, none of ours can
        facts = os.statvfs(path.parent)
        if path.exists() and not path.is_file():
            return _BY_ERRNO[errno.EISDIR] if path.is_dir() else None
    except OSError as error:
        return _BY_ERRNO.get(error.errno or 0)
    if facts.f_flag & os.ST_RDONLY:
        return _READ_ONLY
    if facts.f_bavail * facts.f_frsize < _LEAST_FREE:
        return _DISK_FULL
    places = [path.parent, *([path] if path.exists() else [])]
    return None if all(os.access(place, os.R_OK | os.W_OK) for place in places) else _DENIED
