"""One sync of a cache at a time, whichever process or thread runs it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_tui.cache.connection import explained

_LOOK_SECONDS = 0.1


@contextmanager
def sync_lock(
    cache: Path, *, patience: float = 0.0, on_wait: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Whether this caller may sync, or replace, the cache of this path.

    Held until the block ends, or the process does. Waits up to `patience` seconds for another
    caller to end, after telling so by `on_wait`. Raises DiskError.
    """
    path = cache.with_name(f"{cache.name}.lock")
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _acquire(descriptor, patience, on_wait)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, patience: float, on_wait: Callable[[], None] | None) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            if on_wait is not None:
                on_wait()
                on_wait = None
            time.sleep(_LOOK_SECONDS)
        else:
            return True
