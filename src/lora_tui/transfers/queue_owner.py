"""Whose file of the queue it is: the token of a process, and the processes that make no progress.

The token is an identity (processes.py) and names a presence file (locks/presence.py), so a reused
PID is not mistaken for the owner.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from lora_tui.cache.transfer_queue import ACTIVE, Transfer
from lora_tui.errors import LoraTuiError
from lora_tui.files import translate_disk_errors
from lora_tui.locks.file_lock import SUSPENDED_SECONDS
from lora_tui.locks.presence import Presence, is_present, present_process
from lora_tui.processes import LockHolder, new_identity
from lora_tui.transfers.part import file_in_use_error

_STALLED_SECONDS: Final = 90.0
"""Seconds. A file of another process without progress for this time is not waited for."""


class QueueOwner:
    """An owner of transfers in the cache at `cache_path`. Close it at the end."""

    def __init__(self, cache_path: Path) -> None:
        """Raises DiskError."""
        self._directory = cache_path.with_name(f"{cache_path.name}.owners")
        self.token = new_identity()
        with translate_disk_errors(
            "Nothing can be downloaded, because the state of the queue can't be written",
            self._directory,
            instead="set LORA_TUI_HOME to another directory",
        ):
            self._presence = Presence(self._directory, self.token)

    def close(self) -> None:
        """Give up the token."""
        self._presence.close()

    def is_alive(self, token: str) -> bool:
        """Whether an owner still shows its presence; a process may have closed one and run on."""
        return token == self.token or is_present(self._directory, token)

    def process_of(self, token: str) -> LockHolder:
        """The process of an owner."""
        return present_process(self._directory, token)


class OtherProcesses:
    """Watches the progress of files that other processes have claimed."""

    def __init__(self, own: QueueOwner) -> None:
        self._own = own
        self._since: dict[int, tuple[Transfer, str, float]] = {}
        """Row id → the last row, its owner, and the time of its last change."""

    def find_stalled(
        self, rows: Iterable[Transfer], owners: Mapping[int, str]
    ) -> dict[int, LoraTuiError]:
        """Row id → error, of the files whose processes make no progress.

        `owners`: row id → token, of the files of other processes.
        """
        stalled: dict[int, LoraTuiError] = {}
        now = time.monotonic()
        for row in rows:
            owner = owners.get(row.id) if row.state in ACTIVE else None
            if owner is None:
                self._since.pop(row.id, None)
                continue
            before = self._since.get(row.id)
            if before is None or before[:2] != (row, owner):
                self._since[row.id] = (row, owner, now)
                continue
            waited = now - before[2]
            if waited >= min(SUSPENDED_SECONDS, _STALLED_SECONDS):
                holder = self._own.process_of(owner)
                if holder.suspended or waited >= _STALLED_SECONDS:
                    stalled[row.id] = file_in_use_error(holder, row.target)
        return stalled
