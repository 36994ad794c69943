"""Notices that the configuration file was changed while the application is open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lora_tui.errors import LoraTuiError

_log: Final = logging.getLogger("lora_tui.engine")
_Stamp = tuple[int, int, int] | None


class ChangedSettings:
    """Looks at the file with each request of the application: it makes one every 20 s or so."""

    def __init__(self, file: Path, take: Callable[[], None]) -> None:
        """`take` reads the settings anew. It may raise LoraTuiError: then the old ones stay."""
        self._file, self._take = file, take
        self._lock = threading.Lock()
        """Guards `_seen`."""
        self._seen = self._stamp()

    def look(self) -> None:
        """Take the settings, if the file is another one than at the last look."""
        stamp = self._stamp()
        with self._lock:
            if stamp == self._seen:
                return
            self._seen = stamp
        try:
            self._take()
        except LoraTuiError as error:
            _log.warning("changed settings are not used: %s", error)

    def _stamp(self) -> _Stamp:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
