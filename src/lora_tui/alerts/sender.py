"""Sends what is due over the configured channel, once each, and again later where that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from lora_tui import clock
from lora_tui.alerts.alert import Alert, Kind, Project, Shape, body_of, shape_of
from lora_tui.alerts.command import run_command
from lora_tui.alerts.sent import open_sent
from lora_tui.alerts.webhook import WebhookRefusedError, post
from lora_tui.clock import Backoff
from lora_tui.config.table import ALERT_SENDERS, Profile
from lora_tui.errors import ConfigError, LoraTuiError

APPLICATION, HARVEST = ALERT_SENDERS
BACKOFF: Final = Backoff(first=30.0, longest=1_800.0, least=0.75, most=1.25)
"""Between rounds whose sending failed; in a round, the one policy for requests holds."""
_log: Final = logging.getLogger("lora_tui.alerts")


def sends(profile: Profile, who: str) -> bool:
    """Whether alerts are configured, and APPLICATION or HARVEST is the one that sends them."""
    return bool(profile.alert_url or profile.alert_command) and profile.alert_sender == who


def project_of(profile: Profile) -> Project:
    """The project of a profile."""
    return Project(profile.name, profile.identity or profile.url)


def send(profile: Profile, alert: Alert) -> list[str]:
    """Send an alert over each channel of the profile; which ones those are, in words.

    Raises ConfigError where none is configured, and what `post` and `run_command` raise.
    """
    channels = []
    if profile.alert_url:
        shape = Shape(profile.alert_format or shape_of(profile.alert_url.reveal()))
        post(profile.alert_url, body_of(alert, shape), allow_private=profile.allow_private_urls)
        channels.append(f"the webhook ({shape.value})")
    if profile.alert_command:
        run_command(profile.alert_command, body_of(alert, Shape.PLAIN))
        channels.append("the command")
    if not channels:
        raise ConfigError(
            "No alerts are configured",
            remedy="`lora-tui config set alert_url` asks for the URL of a webhook;"
            " alert_command names a program",
        )
    return channels


def trial(profile: Profile, now: datetime) -> Alert:
    """The alert of `lora-tui alerts test`; each one is an event of its own."""
    return Alert(
        event_id=f"test-{int(now.timestamp() * 1000):x}",
        kind=Kind.TEST,
        title="Test alert of lora-tui",
        message="Alerts of this project arrive here.",
        at=now,
        project=profile.name,
    )


class AlertSender:
    """Sends events of one project that were not sent yet; used by one thread."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._failures = 0
        self._next = 0.0
        self.failure: LoraTuiError | None = None
        """Why the last round failed."""

    def since(self) -> datetime | None:
        """Events from this time on are of interest; None while another process sends them.

        Raises DiskError.
        """
        now = clock.now()
        with open_sent(self._profile, now) as sent:
            if sent is None:
                return None
            if sent.is_new:
                sent.save()  # the time from which events count is that of the first look
            return sent.since(now)

    def send_new(self, alerts: Iterable[Alert] = ()) -> int:
        """Send those that were not sent yet, and the kept ones; how many.

        The rest waits where one fails.

        Raises DiskError. An alert is noted after it was sent: a crash between the two repeats it.
        """
        if time.monotonic() < self._next:
            return 0
        count = 0
        failure: LoraTuiError | None = None
        with open_sent(self._profile, clock.now()) as sent:
            if sent is None:
                return 0
            for alert in (*sent.pending, *alerts):
                if alert.event_id in sent:
                    continue
                try:
                    send(self._profile, alert)
                except WebhookRefusedError as error:  # of this alert; the others may be taken
                    failure = error
                    continue
                except LoraTuiError as error:
                    self._note_failure(error)
                    return count
                sent.note(alert.event_id, clock.now())
                count += 1
        if failure is not None:
            self._note_failure(failure)
        else:
            self._failures, self.failure = 0, None
        return count

    def _note_failure(self, error: LoraTuiError) -> None:
        self._failures += 1
        self.failure = error
        wait = BACKOFF.wait(self._failures)
        self._next = time.monotonic() + wait
        _log.warning("an alert was not sent, tried again in %.0f s: %s", wait, error)
