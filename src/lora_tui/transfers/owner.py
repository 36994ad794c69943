"""Who has files in hand: a token that is alive for exactly as long as its process.

The token names a presence file (files.py), so a number that was given to another process meanwhile
deceives nobody.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lora_tui.files import Presence, is_present, present_process
from lora_tui.processes import LockHolder
from lora_tui.transfers.part import explained_disk


class Owner:
    """An owner of transfers in the cache at `cache_path`. Close it at the end."""

    def __init__(self, cache_path: Path) -> None:
        """Raises DiskError."""
        self._directory = cache_path.with_name(f"{cache_path.name}.owners")
        self.token = f"{os.getpid()}-{secrets.token_hex(4)}"
        with explained_disk(self._directory):
            self._presence = Presence(self._directory, self.token)

    def close(self) -> None:
        """Own nothing any more."""
        self._presence.close()

    def is_alive(self, token: str) -> bool:
        """Whether the process of an owner still runs, on this machine or another one."""
        return token == self.token or is_present(self._directory, token)

    def process_of(self, token: str) -> LockHolder:
        """The process of an owner."""
        return present_process(self._directory, token)
