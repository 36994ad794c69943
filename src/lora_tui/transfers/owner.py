"""Who has files in hand: a token that is alive for exactly as long as its process.

The token names a file that the process keeps locked; the system drops the lock however the
process ends, so a number that was given to another process meanwhile deceives nobody.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lora_tui.files import FileLock, make_private_directory
from lora_tui.processes import LockHolder
from lora_tui.transfers.part import explained_disk


class Owner:
    """An owner of transfers in the cache at `cache_path`. Close it at the end."""

    def __init__(self, cache_path: Path) -> None:
        """Raises DiskError."""
        self._directory = _directory(cache_path)
        self.token = f"{os.getpid()}-{secrets.token_hex(4)}"
        with explained_disk(self._directory):
            make_private_directory(self._directory)
            self._path = self._directory / self.token
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._lock = FileLock(os.open(self._path, flags, 0o600), self._path)
            self._lock.acquire()

    def close(self) -> None:
        """Be no owner any more."""
        self._path.unlink(missing_ok=True)
        self._lock.close()

    def is_alive(self, token: str) -> bool:
        """Whether that owner's process still runs; the file of one that does not is removed."""
        path = self._directory / token
        if token == self.token:
            return True
        try:
            lock = FileLock(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)
        except OSError:
            return False
        try:
            if lock.acquire() is not None:
                return True
            path.unlink(missing_ok=True)
            return False
        finally:
            lock.close()


def holder_of(token: str) -> LockHolder:
    """The process that an owner is."""
    number = token.partition("-")[0]
    return LockHolder.of(int(number) if number.isdecimal() and len(number) < 10 else None)


def _directory(cache_path: Path) -> Path:
    return cache_path.with_name(f"{cache_path.name}.owners")
