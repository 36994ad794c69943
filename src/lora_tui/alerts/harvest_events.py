"""Alerts of the harvest service: what its events and the failed jobs of the project tell.

The service has no cache. An event is kept in a file before it is sent, as it comes only once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from lora_tui import clock, formats
from lora_tui.alerts.alert import Alert, Kind, Project, event_id
from lora_tui.alerts.due import failed, lost, minutes
from lora_tui.alerts.sender import AlertSender, project_of
from lora_tui.alerts.sent import MOST_PENDING, keep
from lora_tui.config.table import Profile
from lora_tui.domain import Job, Row
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.events import (
    CycleFinished,
    Event,
    JobFailed,
    JobHarvested,
    ResultExpiring,
    ResultLost,
)
from lora_tui.text import terminal_safe

_log: Final = logging.getLogger("lora_tui.alerts")
_END_SECONDS: Final = 60.0


class KeptEvents:
    """The alerts of a harvest's events, kept on the disk until they were sent.

    They are in memory while the disk is full.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile, self._project = profile, project_of(profile)
        self._unkept: deque[Alert] = deque(maxlen=MOST_PENDING)

    def note(self, event: Event) -> bool:
        """Whether the event is one to send."""
        alert = alert_of(event, self._project, clock.now())
        if alert is not None and not self._keep(alert):
            self._unkept.append(alert)
        return alert is not None

    def in_memory(self) -> list[Alert]:
        """Those that the disk did not take, and does not take now."""
        for _ in range(len(self._unkept)):
            alert = self._unkept.popleft()
            if not self._keep(alert):
                self._unkept.append(alert)
        return list(self._unkept)

    def _keep(self, alert: Alert) -> bool:
        try:
            keep(self._profile, alert)
        except LoraTuiError as error:
            _log.warning("an alert is kept in memory only: %s", error)
            return False
        return True


class HarvestAlerts:
    """Takes the events of a harvest, and sends alerts in a thread of its own. Close it."""

    def __init__(self, profile: Profile, failed_jobs: Callable[[datetime], Sequence[Row]]) -> None:
        """`failed_jobs`: the rows of the jobs that have failed since a time."""
        self._project = project_of(profile)
        self._failed_jobs = failed_jobs
        self._events, self._sender = KeptEvents(profile), AlertSender(profile)
        self._wake = threading.Event()
        self._closed = False
        self._looks = False
        """Whether failed jobs are to be read."""
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def note(self, event: Event) -> None:
        """Take an event; returns soon."""
        is_one = self._events.note(event)
        if isinstance(event, CycleFinished):
            self._looks = True
        if is_one or self._looks:
            self._wake.set()

    def close(self) -> None:
        """Send what is kept, and end; what can't be sent now is sent by the next start."""
        self._closed = True
        self._wake.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            closed = self._closed
            found: list[Alert] = []
            with logged_failures():
                found = self._failed()
            with logged_failures():  # also where the project did not tell of its failed jobs
                self._sender.send_new([*self._events.in_memory(), *found])
            if closed:
                return
            pause = self._sender.retry_seconds
            if found and pause is not None:
                self._looks = True

    def _failed(self) -> list[Alert]:
        """Alerts of the jobs that have failed, where they are to be read."""
        if not self._looks:
            return []
        self._looks = False
        since = self._sender.since()
        if since is None:
            return []
        try:
            rows = self._failed_jobs(since)
        except LoraTuiError:
            self._looks = True
            raise
        return [failed(Job.from_row(row), self._project, clock.now()) for row in rows]


@contextmanager
def logged_failures() -> Iterator[None]:
    """Log an error of the block, and go on: what was not sent waits."""
    try:
        yield
    except LoraTuiError as error:
        _log.warning("alerts were not sent: %s", error)
    except Exception as error:
        _log.warning("alerts were not sent: %s", type(error).__name__)


def alert_of(event: Event, project: Project, now: datetime) -> Alert | None:
    """The alert of an event of the harvest; None for one that nobody has to know."""
    match event:
        case JobHarvested():
            return Alert(
                event_id=event_id(project, Kind.FINISHED, event.job_id),
                kind=Kind.FINISHED,
                title=f"Training finished: {terminal_safe(event.name, limit=120)}",
                message=f"{terminal_safe(event.name, limit=200)}: {formats.score(event.stars)}"
                " stars",
                at=now,
                project=project.name,
                job_id=event.job_id,
                model_id=event.artifact_id,
                details={"stars": event.stars},
            )
        case ResultExpiring():
            left = minutes(event.seconds_left)
            why = f" The last attempt failed: {event.reason}" if event.reason else ""
            return Alert(
                event_id=event_id(project, Kind.EXPIRING, event.job_id),
                kind=Kind.EXPIRING,
                title=f"Result about to be lost: {event.job_id[:8]}",
                message=terminal_safe(f"It expires at the GPU worker in {left}.{why}"),
                at=now,
                project=project.name,
                job_id=event.job_id,
                details={"seconds_left": event.seconds_left},
            )
        case ResultLost():
            why = event.reason or "no attempt was made"
            reason = f"The GPU worker no longer has it: {why}"
            return lost(event.job_id, event.job_id[:8], reason, project, now)
        case JobFailed(permanent=True):
            why = f"{event.reason} ({event.details})" if event.details else event.reason
            reason = f"The harvest gave up: {why}"
            return lost(event.job_id, event.job_id[:8], reason, project, now)
    return None
