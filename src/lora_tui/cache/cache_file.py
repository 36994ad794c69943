"""The cache as files on the disk: the lock of a sync, removal, and renaming a damaged one."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lora_tui.cache.connection import translate_errors
from lora_tui.locks.file_lock import LOOK_SECONDS, is_locked, lock_holder, locked_file
from lora_tui.processes import LockHolder
from lora_tui.sqlite_file import SIDE_FILES


@contextmanager
def sync_lock(
    cache: Path, *, patience: float = 0.0, on_wait: Callable[[LockHolder], None] | None = None
) -> Iterator[bool]:
    """Yield whether this caller may sync or replace the cache; holds the lock during the block.

    If another process has the lock, calls `on_wait` with it and waits up to `patience` seconds
    (fewer for a suspended process). Raises DiskError.
    """
    path = _lock_file(cache)
    with ExitStack() as stack:
        with translate_errors(path):
            _move_obstacle(path, cache)
            patience = max(patience, LOOK_SECONDS)  # of those who ask whether a sync runs
            holder = stack.enter_context(locked_file(path, patience=patience, on_wait=on_wait))
        yield holder is None


def sync_holder(cache: Path) -> LockHolder:
    """The process that is syncing this cache, as far as the system tells."""
    return lock_holder(_lock_file(cache))


def is_sync_running(cache: Path) -> bool | None:
    """Whether a process syncs or replaces this cache, by its lock; None where that can't be told.

    It can't where no sync has ever run, and where the lock file may not be opened.
    """
    return is_locked(_lock_file(cache))


@contextmanager
def leader_lock(cache: Path) -> Iterator[bool]:
    """Yield whether this caller is the one that syncs the cache on schedule, for the block's time.

    Raises DiskError.
    """
    path = cache.with_name(f"{cache.name}.leader")
    with ExitStack() as stack:
        with translate_errors(path):
            holder = stack.enter_context(locked_file(path))
        yield holder is None


def delete_cache(path: Path) -> bool:
    """Remove the cache's files and its damaged copies; True where there was a cache. DiskError."""
    with translate_errors(path):
        return _remove_files(path)


def rename_damaged(path: Path) -> Path:
    """Rename a damaged cache to `NAME.damaged-<n>`; returns its new path. Raises OSError."""
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    for suffix in (
        *SIDE_FILES,
        "",
    ):  # the file itself last, so that a retry finds it
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    return kept


def _remove_files(path: Path) -> bool:
    """Remove the cache's files and its damaged copies; True where there was a cache.

    Directories and links in their place are removed too. Raises OSError.
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


def _move_obstacle(path: Path, cache: Path) -> None:
    """Rename a lock file that is not a regular file. Raises OSError."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        path.rename(cache.with_name(f"{cache.name}.damaged-lock-{os.urandom(4).hex()}"))


def _lock_file(cache: Path) -> Path:
    return cache.with_name(f"{cache.name}.lock")
