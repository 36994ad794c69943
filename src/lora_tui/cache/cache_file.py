"""The cache as files on the disk: removes them, and sets damaged ones aside."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from lora_tui.sqlite_file import SIDE_FILES


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
            import shutil

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
