"""One writer of a directory at a time, whichever process or thread it is in."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Wait for a turn, and have it. The lock is on the directory, so no file is left behind.

    Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
