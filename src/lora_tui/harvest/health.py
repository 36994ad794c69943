"""The health file: one small JSON object that is fresh as long as the harvest is alive.

A probe looks at its age (it is written anew at every event, and while a file moves) and, if it
wants to know more, at `ok`: false while whole cycles fail.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.files import PUBLIC_MODE, disk_error_reason, write_file
from lora_tui.harvest.events import CycleFinished, Event
from lora_tui.json_values import json_text

_LEAST_SECONDS: Final = 5.0
_log: Final = logging.getLogger("lora_tui.harvest")


class HealthFile:
    """Pass it every event; a disk that refuses is logged, and the harvest goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._written = 0.0
        self._state: dict[str, Any] = {"ok": True, "last_cycle": None, "error": None}
        self._write()

    def note(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, CycleFinished):
            self._state |= {
                "ok": event.error is None,
                "error": event.error,
                "last_cycle": {
                    "finished_at": event.at,
                    "harvested": event.harvested,
                    "failed": event.failed,
                    "elsewhere": event.elsewhere,
                    "left": event.left,
                },
            }
        self._write()

    def beat(self) -> None:
        """A file moves."""
        if time.monotonic() - self._written >= _LEAST_SECONDS:
            self._write()

    def _write(self) -> None:
        with self._lock:
            self._written = time.monotonic()
            body = {"alive_at": clock.timestamp_text(clock.now()), "pid": os.getpid()}
            try:
                write_file(self._path, json_text(body | self._state) + "\n", mode=PUBLIC_MODE)
            except OSError as error:
                _log.warning("the health file can't be written: %s", disk_error_reason(error).words)
