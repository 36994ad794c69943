"""Sends alerts of what the cache tells, in the background, while the application is open."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import Final

from lora_tui import clock
from lora_tui.alerts.due import due_alerts
from lora_tui.alerts.sender import APPLICATION, AlertSender, project_of, sends
from lora_tui.config.table import Profile
from lora_tui.errors import LoraTuiError

_SECONDS: Final = 15.0
_log: Final = logging.getLogger("lora_tui.engine")


class AlertWatch:
    """One thread at a time; `look` after each sync of the engine that leads."""

    def __init__(
        self, profile: Profile, cache: Callable[[], AbstractContextManager[Connection]]
    ) -> None:
        """`cache` opens the cache."""
        self._profile, self._cache = profile, cache
        self._sender = AlertSender(profile)
        self._looked_at = -math.inf
        self._lock = threading.Lock()
        """Guards the fields below."""
        self._thread: threading.Thread | None = None
        self._again = False

    @classmethod
    def of(
        cls, profile: Profile | None, cache: Callable[[], AbstractContextManager[Connection]]
    ) -> AlertWatch | None:
        """None where the application of this profile sends no alerts."""
        if profile is None or not sends(profile, APPLICATION):
            return None
        return cls(profile, cache)

    def look(self) -> None:
        """Send what is due; returns at once. Once more later, if it is at work."""
        self._looked_at = time.monotonic()
        with self._lock:
            self._again = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()

    def look_at_running(self) -> None:
        """Like `look`, after new points; at most every `_SECONDS`, as each look reads all runs."""
        if time.monotonic() - self._looked_at >= _SECONDS:
            self.look()

    def wait(self) -> None:
        """Wait until it has nothing more to do."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
            try:
                self._send()
            except LoraTuiError as error:
                _log.warning("alerts were not sent: %s", error)
            except Exception as error:
                _log.warning("alerts were not sent: %s", type(error).__name__)

    def _send(self) -> None:
        since = self._sender.since()
        if since is None:
            return
        with self._cache() as db:
            due = list(
                due_alerts(
                    db,
                    project_of(self._profile),
                    since=since,
                    now=clock.now(),
                    limit=self._profile.alert_limit,
                )
            )
        self._sender.send_new(due)
