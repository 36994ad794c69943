"""The one way to open an SQLite file: private, regular, with WAL, and its errors explained."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from lora_tui.errors import DamagedCacheError, DiskError
from lora_tui.files import (
    BY_ERRNO,
    PRIVATE_MODE,
    Reason,
    disk_error_reason,
    file_system_of,
    has_locks,
    make_private_directory,
    read_regular_file,
)

SIDE_FILES: Final = ("-wal", "-shm")
"""The suffixes of the files that SQLite puts beside the database."""

ACCESS_CODES: Final = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)
"""Result codes of a database that may be healthy, and that can't be used here."""

_POLL_SECONDS: Final = 0.01
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_LEAST_FREE: Final = 64 << 10
"""Bytes; with less than this SQLite can't even begin a journal."""


def use_wal(
    db: sqlite3.Connection, *, patience: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Switch on the write-ahead log, also while another process opens the same new file.

    `patience` is in seconds. SQLite's own time-out does not count here: where another connection is
    about to write, the switch fails at once. Raises sqlite3.Error.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        sleep(_POLL_SECONDS)


def is_writable(path: Path) -> bool:
    """Whether an existing database can be written to, which needs its directory too."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def open_for_reading(
    path: Path, *, timeout: float = 5.0, isolation_level: Literal["DEFERRED"] | None = "DEFERRED"
) -> sqlite3.Connection:
    """Open an existing database without changing it; no file is left beside it after `close`.

    Works in a directory that can't be written to, such as that of a read-only mount, as long as
    no log is left there that only a writer can read. `timeout` is in seconds. Raises OSError,
    sqlite3.Error, and DamagedCacheError where it is not a regular file.
    """
    check_regular_files(path)
    wal, shared_memory = (path.with_name(path.name + suffix) for suffix in SIDE_FILES)
    has_log = wal.exists() and wal.stat().st_size > 0
    if is_writable(path):
        # the last ordinary connection removes the side files, and a read-only one leaves them
        modes = ["mode=rw"]
    else:
        modes = ["mode=ro"] if has_log or (wal.exists() and shared_memory.exists()) else []
        modes += [] if has_log else ["mode=ro&immutable=1"]
    for mode in modes:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=timeout,
            isolation_level=isolation_level,
        )
        try:
            if mode == "mode=rw":
                db.execute("PRAGMA query_only = 1")
            db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error as error:
            db.close()
            if sqlite_code(error) not in ACCESS_CODES or mode == modes[-1]:
                raise
        else:
            return db
    raise AssertionError("every file has a mode")


def make_private_database(path: Path) -> None:
    """Make the file with mode 0600: SQLite gives its -wal and -shm files the mode of the main file.

    An existing file is not opened: closing it would drop the locks that SQLite holds on it for
    this process's other connections. Raises OSError, and DamagedCacheError where a directory, a
    pipe or a broken link is in the place of a file: SQLite might wait for it without end.
    """
    make_private_directory(path.parent)
    check_regular_files(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE_MODE:
            path.chmod(PRIVATE_MODE)


def was_emptied(path: Path) -> bool:
    """Whether another program has cut the file to nothing while it was open.

    SQLite would report a file that another process holds: the log of the open connections is still
    there. SQLite itself never writes to a log beside an empty file.
    """
    wal = path.with_name(f"{path.name}{SIDE_FILES[0]}")
    try:
        before, has_log = path.stat(), wal.stat().st_size > 0
        now = path.stat()  # another process may just have filled a new file
    except OSError:
        return False
    return has_log and not before.st_size and not now.st_size and before.st_ino == now.st_ino


def check_regular_files(path: Path) -> None:
    """Raise DamagedCacheError where the file or a side file is not regular; OSError."""
    for suffix in ("", *SIDE_FILES):
        file = path.with_name(path.name + suffix)
        try:
            mode = file.stat().st_mode
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_a_file(file) from error
            if error.errno != errno.ENOENT:
                raise
            continue
        if not stat.S_ISREG(mode):
            raise _not_a_file(file)


def has_damaged_header(path: Path) -> bool:
    """Whether the file's header was not written by us; SQLite's error messages mislead then.

    Only for when something went wrong: see `make_private_database`.
    """
    try:
        header = read_regular_file(path.resolve(), _HEADER_BYTES)
    except (OSError, RuntimeError):
        return False
    if not header:
        return False
    page_size = int.from_bytes(header[16:18], "big")
    return not (
        len(header) == _HEADER_BYTES
        and header.startswith(_MAGIC)
        and (page_size == 1 or (page_size >= 512 and page_size & (page_size - 1) == 0))
        and header[18] in (1, 2)
        and header[19] in (1, 2)
        and header[20:24] == b"\x00\x40\x20\x20"
        and int.from_bytes(header[44:48], "big") in range(5)
        and int.from_bytes(header[56:60], "big") in (0, 1)
    )


def database_error(
    error: OSError | sqlite3.Error, what: str, path: Path | None, *, instead: str | None = None
) -> DiskError:
    """The error for a user; see `files.disk_error`."""
    reason = database_error_reason(error, path)
    details = None if path is None else str(path)
    if isinstance(error, sqlite3.Error):
        details = f"{details}: {error}" if details else str(error)
    return DiskError(f"{what}: {reason.words}", details=details, remedy=reason.remedy_or(instead))


def database_error_reason(error: OSError | sqlite3.Error, path: Path | None) -> Reason:
    """Why the database file can't be used."""
    if isinstance(error, OSError):
        return disk_error_reason(error)
    code = sqlite_code(error)
    if path is not None and lacks_locks(error, path):
        return Reason(
            f"the file system ({file_system_of(path.parent)}) has no file locks",
            "use a directory on a local disk",
        )
    if code in ACCESS_CODES and path is not None and (found := _ask_file_system(path)) is not None:
        return found
    return _BY_SQLITE_CODE.get(code, Reason(str(error), None))


def lacks_locks(error: sqlite3.Error, path: Path) -> bool:
    """Whether SQLite failed because the file system of its file has no locks."""
    code = getattr(error, "sqlite_errorcode", None)
    if code in _LOCK_CODES:
        return True
    if sqlite_code(error) != sqlite3.SQLITE_BUSY:  # SQLite reports ENOLCK as this
        return False
    try:
        return not has_locks(path.parent)
    except OSError:
        return False


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's primary result code; None where it is no error of SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


_NO_ACCESS: Final = Reason(
    "permission denied or read-only", "check the directory's owner and permissions"
)
_DAMAGED: Final = Reason("the file is damaged", "move it away; a new one will be created", False)
_HELD: Final = Reason(
    "another process holds it", "end the other lora-tui, or wait for it; then try again", False
)
_LOCK_CODES: Final = (
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    sqlite3.SQLITE_IOERR_SHMLOCK,
)
_BY_SQLITE_CODE: Final[dict[int | None, Reason]] = {
    sqlite3.SQLITE_FULL: BY_ERRNO[errno.ENOSPC],
    sqlite3.SQLITE_IOERR: Reason(
        "the disk fails or is full", "look at the disk, its space and the quota"
    ),
    sqlite3.SQLITE_READONLY: _NO_ACCESS,
    sqlite3.SQLITE_CANTOPEN: _NO_ACCESS,
    sqlite3.SQLITE_PERM: _NO_ACCESS,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_NOMEM: BY_ERRNO[errno.ENOMEM],
}


def _ask_file_system(path: Path) -> Reason | None:
    """Why this file can't be used: SQLite does not report the `errno`.

    The file is not opened: closing it would drop the locks of this process's other connections.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # where no file can be opened, none of ours can
        status = os.statvfs(path.parent)
        if path.exists() and not path.is_file():
            return BY_ERRNO[errno.EISDIR] if path.is_dir() else None
    except OSError as error:
        return BY_ERRNO.get(error.errno or 0)
    if status.f_flag & os.ST_RDONLY:
        return BY_ERRNO[errno.EROFS]
    if status.f_bavail * status.f_frsize < _LEAST_FREE:
        return BY_ERRNO[errno.ENOSPC]
    places = [path.parent, *([path] if path.exists() else [])]
    if all(os.access(place, os.R_OK | os.W_OK) for place in places):
        return None
    return BY_ERRNO[errno.EACCES]


def _not_a_file(path: Path) -> DamagedCacheError:
    return DamagedCacheError("The cache file is damaged", details=f"{path} is not a file")
