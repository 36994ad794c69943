"""Files that are replaced in one step, and directories and files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

MODE = 0o600
PUBLIC_MODE = 0o666
"""The mode of public files, before the umask."""
_BEGINNING, _END = ".lora-tui-", ".tmp"


def make_private_directory(directory: Path) -> None:
    """Make it and what is missing above it; what exists keeps its mode. Raises OSError."""
    # mkdir's own `parents` would give those above it the mode that the umask leaves
    for missing in reversed([p for p in (directory, *directory.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(exist_ok=True)  # raises where a file is in its place


def replace_private(path: Path, text: str) -> None:
    """Write a file anew, in one step; directories that are missing are made. Raises OSError."""
    make_private_directory(path.parent)
    replace_file(path, text)


def replace_file(path: Path, text: str, *, mode: int = MODE, durable: bool = False) -> None:
    """Write a file anew, in one step; see `replacing`. Raises OSError."""
    with replacing(path, mode=mode, durable=durable) as (file, _):
        file.write(text)


@contextmanager
def replacing(
    path: Path, *, mode: int = MODE, durable: bool = False
) -> Iterator[tuple[TextIO, Path]]:
    """A new file beside `path`, which takes its name when the block ends without an error.

    No link is followed: the new file has a name that nobody can guess and that did not exist, and
    a link called `path` is replaced, not what it leads to. `durable`: the bytes are on the disk
    before they have the name. Raises OSError.
    """
    descriptor, partial = _new_file(path.parent, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file, partial
            file.flush()
            if durable:
                os.fsync(file.fileno())
            partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def read_plain(path: Path, most: int) -> bytes:
    """The first `most` bytes of an ordinary file; no link is followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(most)


def remove_abandoned(directory: Path) -> None:
    """Remove the new files that processes left in `directory` when they were killed."""
    import fcntl  # late, as below

    with suppress(OSError):
        # all sixteen digits: a file that the user called nearly so is not ours
        for path in directory.glob(f"{_BEGINNING}{'[0-9a-f]' * 16}{_END}"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)


def _new_file(directory: Path, mode: int) -> tuple[int, Path]:
    """A new file, locked while it is open, so that `remove_abandoned` does not remove it."""
    import fcntl  # late: programs that only read load this module too

    while True:
        path = directory / f"{_BEGINNING}{os.urandom(8).hex()}{_END}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, mode)
        except FileExistsError:
            continue
        with suppress(OSError):  # a file system without locks; or it is being removed this moment
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            if os.fstat(descriptor).st_nlink:
                return descriptor, path
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
