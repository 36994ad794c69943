"""One sync of a cache at a time, whichever process or thread runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lora_tui.cache.cache_file import move_obstacle
from lora_tui.cache.connection import explained
from lora_tui.files import lock_holder, locked_file
from lora_tui.processes import LockHolder


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
    with ExitStack() as stack:
        with explained(path):
            move_obstacle(path, cache)
            holder = stack.enter_context(locked_file(path, patience=patience, on_wait=on_wait))
        yield holder is None


def sync_holder(cache: Path) -> LockHolder:
    """The process that syncs the cache of this path now, as far as the system tells."""
    return lock_holder(_lock_file(cache))


def _lock_file(cache: Path) -> Path:
    return cache.with_name(f"{cache.name}.lock")
