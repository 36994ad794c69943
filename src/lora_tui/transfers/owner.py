"""Who has files in hand: a token that is alive for exactly as long as its process.

The token names a file that the process keeps locked; the system drops the lock however the
process ends, so a number that was given to another process meanwhile deceives nobody.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from lora_tui.file_lock import Holder
from lora_tui.private_files import make_private_directory
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
            self._descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Be no owner any more."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def is_alive(self, token: str) -> bool:
        """Whether that owner's process still runs; the file of one that does not is removed."""
        path = self._directory / token
        if token == self.token:
            return True
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)


def holder_of(token: str) -> Holder:
    """The process that an owner is."""
    number = token.partition("-")[0]
    return Holder.of(int(number) if number.isdecimal() and len(number) < 10 else None)


def _directory(cache_path: Path) -> Path:
    return cache_path.with_name(f"{cache_path.name}.owners")
