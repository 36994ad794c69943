"""Alerts of the harvest service: what its events and the failed jobs of the project tell.

The service has no cache. An event is kept in a file before it is sent, as it comes only once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from lora_tui import clock, formats
from lora_tui.alerts.alert import Alert, Kind, Project, event_id
from lora_tui.alerts.due import failed, minutes
from lora_tui.alerts.sender import AlertSender, project_of
from lora_tui.alerts.sent import keep
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

_log = logging.getLogger("lora_tui.alerts")
_END_SECONDS = 60.0


class HarvestAlerts:
    """Takes the events of a harvest, and sends alerts in a thread of its own. Close it."""

    def __init__(self, profile: Profile, failed_jobs: Callable[[datetime], Sequence[Row]]) -> None:
        """`failed_jobs`: the rows of the jobs that have failed since a time."""
        self._profile, self._project = profile, project_of(profile)
        self._failed_jobs = failed_jobs
        self._sender = AlertSender(profile)
        self._wake = threading.Event()
        self._closed = False
        self._looks = False
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def note(self, event: Event) -> None:
        """Take an event; returns soon. A full disk is logged: the harvest goes on."""
        alert = alert_of(event, self._project, clock.now())
        try:
            if alert is not None:
                keep(self._profile, alert)
        except LoraTuiError as error:
            _log.warning("an alert was not kept: %s", error)
        if isinstance(event, CycleFinished):
            self._looks = True
        if alert is not None or self._looks:
            self._wake.set()

    def close(self) -> None:
        """Send what is kept, and end; what can't be sent now is sent by the next start."""
        self._closed = True
        self._wake.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closed = self._closed
            try:
                self._sender.send_new(list(self._failed()))
            except LoraTuiError as error:
                _log.warning("alerts were not sent: %s", error)
            except Exception as error:
                _log.warning("alerts were not sent: %s", type(error).__name__)
            if closed:
                return

    def _failed(self) -> Iterator[Alert]:
        if not self._looks:
            return
        self._looks = False
        since = self._sender.since()
        if since is None:
            return
        for row in self._failed_jobs(since):
            yield failed(Job.from_row(row), self._project, clock.now())


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
            return _lost(event.job_id, project, now, f"The GPU worker no longer has it: {why}")
        case JobFailed(permanent=True):
            why = f"{event.reason} ({event.details})" if event.details else event.reason
            return _lost(event.job_id, project, now, f"The harvest gave up: {why}")
    return None


def _lost(job_id: str, project: Project, now: datetime, message: str) -> Alert:
    return Alert(
        event_id=event_id(project, Kind.LOST, job_id),
        kind=Kind.LOST,
        title=f"Result lost: {job_id[:8]}",
        message=terminal_safe(message),
        at=now,
        project=project.name,
        job_id=job_id,
    )
