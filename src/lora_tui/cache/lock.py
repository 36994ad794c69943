"""One sync of a cache at a time, whichever process or thread runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_tui.cache.cache_file import move_obstacle
from lora_tui.cache.connection import explained
from lora_tui.file_lock import Holder, holder_of, take_lock


@contextmanager
def sync_lock(
    cache: Path, *, patience: float = 0.0, on_wait: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Yields whether this caller may sync, or replace, the cache of this path.

    Held until the block ends, or the process does. Waits up to `patience` seconds for another
    caller to end (for one that is suspended only a few), after telling so by `on_wait`. Raises
    DiskError.
    """
    path = _lock_file(cache)
    with explained(path):
        move_obstacle(path, cache)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield take_lock(descriptor, patience=patience, on_wait=on_wait) is None
    finally:
        os.close(descriptor)


def sync_holder(cache: Path) -> Holder:
    """The process that syncs the cache of this path now, as far as the system tells."""
    try:
        descriptor = os.open(_lock_file(cache), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Holder()
    try:
        return holder_of(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(cache: Path) -> Path:
    return cache.with_name(f"{cache.name}.lock")
