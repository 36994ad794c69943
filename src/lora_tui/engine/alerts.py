"""Sends alerts of what the cache tells, in the background, while the application is open."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import Final

from lora_tui import clock
from lora_tui.alerts.alert import Alert
from lora_tui.alerts.due import due_alerts, seconds_to_next
from lora_tui.alerts.harvest_events import KeptEvents, logged_failures
from lora_tui.alerts.sender import (
    APPLICATION,
    IN_USE_SECONDS,
    AlertSender,
    project_of,
    sends,
)
from lora_tui.config.table import Profile
from lora_tui.harvest.events import Event

_SECONDS: Final = 15.0


class AlertWatch:
    """One thread; `look` after each sync of the engine that leads.

    It looks again by itself when a result is about to be lost, and when what failed is due.
    """

    def __init__(
        self, profile: Profile, cache: Callable[[], AbstractContextManager[Connection]]
    ) -> None:
        """`cache` opens the cache."""
        self._cache = cache
        self._sender, self._events = AlertSender(profile), KeptEvents(profile)
        self._looked_at = -math.inf
        self._changed = threading.Condition()
        """Guards the fields below."""
        self._profile = profile
        self._thread: threading.Thread | None = None
        self._again = self._works = self._stopped = False

    @property
    def is_sender(self) -> bool:
        """Whether alerts are configured, and the application sends them."""
        return sends(self._profile, APPLICATION)

    def use(self, profile: Profile) -> None:
        """Take changed settings; what has failed is tried again at once."""
        with self._changed:
            if profile == self._profile:
                return
            self._profile = profile
        self.look()

    def note(self, event: Event) -> None:
        """Take an event of the harvest that runs in this engine."""
        if self.is_sender and self._events.note(event):
            self.look()

    def look(self) -> None:
        """Send what is due; returns at once. Once more later, if it is at work."""
        self._looked_at = time.monotonic()
        with self._changed:
            if self._stopped or not self.is_sender:
                return
            self._again = True
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()

    def look_at_running(self) -> None:
        """Like `look`, after new points; at most every `_SECONDS`, as each look reads all runs."""
        if time.monotonic() - self._looked_at >= _SECONDS:
            self.look()

    def wait(self) -> None:
        """Wait until it has nothing more to do at once."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._again or self._works))

    def stop(self) -> None:
        """End the thread after the alert that it sends."""
        with self._changed:
            self._stopped, self._again = True, False
            self._changed.notify_all()

    def _run(self) -> None:
        pause: float | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._again or self._stopped, pause)
                if self._stopped:
                    return
                self._again, self._works = False, True
            pause = IN_USE_SECONDS
            with logged_failures():
                pause = self._send()
            with self._changed:
                self._works = False
                self._changed.notify_all()

    def _send(self) -> float | None:
        """Send what is due; the seconds until the next look that no sync causes, if there is one.

        Raises LoraTuiError.
        """
        profile, sender = self._profile, self._sender
        if not self.is_sender:
            return None
        sender.use(profile)
        since = sender.since()
        if since is None:
            return IN_USE_SECONDS
        due: list[Alert] = []
        following: float | None = None
        now = clock.now()
        with logged_failures(), self._cache() as db:  # else what was kept is sent all the same
            found = due_alerts(
                db, project_of(profile), since=since, now=now, limit=profile.alert_limit
            )
            due = list(found)
            following = seconds_to_next(db, now)
        sender.send_new([*self._events.in_memory(), *due])
        times = [each for each in (following, sender.retry_seconds) if each is not None]
        return min(times, default=None)
