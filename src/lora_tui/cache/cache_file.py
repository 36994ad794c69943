"""The cache as files on the disk: checks that they are plain files, and removes them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from lora_tui.errors import DamagedCacheError
from lora_tui.private_files import make_private_directory, read_plain

SIDE_FILES: Final = ("-wal", "-shm")
_MODE: Final = 0o600
_HEADER: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"


def make_private(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the main file, so set that first.

    A file that is there is not opened: closing it would drop the locks that SQLite holds on it for
    this process's other connections. Raises OSError, and DamagedCacheError where a directory, a
    pipe or a link that leads nowhere is in the place of a file: SQLite might wait for it for ever.
    """
    make_private_directory(path.parent)
    check_kind(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE))
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) != _MODE:
            path.chmod(_MODE)


def check_kind(path: Path) -> None:
    """Raises DamagedCacheError where one of the cache's files is not a plain file, and OSError."""
    for suffix in ("", *SIDE_FILES):
        file = path.with_name(path.name + suffix)
        try:
            mode = file.stat().st_mode
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _is_no_file(file) from error
            if error.errno != errno.ENOENT:
                raise
            continue
        if not stat.S_ISREG(mode):
            raise _is_no_file(file)


def is_garbled(path: Path) -> bool:
    """Whether the file's header was not written by us; SQLite's error messages mislead then.

    Only for when something went wrong: see `make_private`.
    """
    try:
        header = read_plain(path.resolve(), _HEADER)
    except (OSError, RuntimeError):
        return False
    if not header:
        return False
    page_size = int.from_bytes(header[16:18], "big")
    return not (
        len(header) == _HEADER
        and header.startswith(_MAGIC)
        and (page_size == 1 or (page_size >= 512 and page_size & (page_size - 1) == 0))
        and header[18] in (1, 2)
        and header[19] in (1, 2)
        and header[20:24] == b"\x00\x40\x20\x20"
        and int.from_bytes(header[44:48], "big") in range(5)
        and int.from_bytes(header[56:60], "big") in (0, 1)
    )


def remove_files(path: Path) -> bool:
    """Remove the cache's files and its damaged copies; True where there was a cache.

    Whatever is in their place goes too; of a link only the link. Raises OSError.
    """
    existed = os.path.lexists(path)
    files = [path.with_name(path.name + suffix) for suffix in (*SIDE_FILES, "")]
    with suppress(OSError):
        files += path.parent.glob(f"{path.name}.damaged-*")
    lock = path.with_name(f"{path.name}.lock")
    if os.path.lexists(lock) and not stat.S_ISREG(lock.lstat().st_mode):
        files.append(lock)
    for file in files:
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
    return existed


def move_obstacle(path: Path, cache: Path) -> None:
    """Rename what is in the place of the lock file and is no file. Raises OSError."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        path.rename(cache.with_name(f"{cache.name}.damaged-lock-{os.urandom(4).hex()}"))


def set_aside(path: Path) -> Path:
    """Rename a damaged cache to `NAME.damaged-<n>`; returns its new path. Raises OSError."""
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    for suffix in (*SIDE_FILES, ""):  # the file itself last: until then it can be tried again
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    return kept


def _is_no_file(path: Path) -> DamagedCacheError:
    return DamagedCacheError("The cache file is damaged", details=f"{path} is not a file")
