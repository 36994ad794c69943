"""Directories and files that only their owner can read, whatever the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MODE = 0o600


def make_private_directory(directory: Path) -> None:
    """Make it and what is missing above it; what exists keeps its mode. Raises OSError."""
    # mkdir's own `parents` would give those above it the mode that the umask leaves
    for missing in reversed([p for p in (directory, *directory.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(exist_ok=True)  # raises where a file is in its place


def write_private(path: Path, text: str) -> None:
    """Write a file anew; it is not replaced in one step. Raises OSError."""
    with open(path, "w", encoding="utf-8", opener=_opener) as file:
        file.write(text)


def replace_private(path: Path, text: str) -> None:
    """Write a file anew, in one step; directories that are missing are made. Raises OSError."""
    import threading  # late: programs that only read load this module too

    make_private_directory(path.parent)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_native_id()}.part")
    try:
        write_private(partial, text)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, MODE)
