"""One writer of a directory at a time, whichever process or thread it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lora_tui.file_lock import in_use, take_lock

_PATIENCE: Final = 30.0
"""Seconds; nobody writes a directory's small files for longer."""


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, after waiting for it; it leaves no file behind.

    Raises OSError, and InUseError where another process keeps it too long.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        holder = take_lock(descriptor, patience=_PATIENCE)
        if holder is not None:
            raise in_use("Another lora-tui is writing in this directory", holder, directory)
        yield
    finally:
        os.close(descriptor)
