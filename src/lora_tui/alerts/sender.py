"""Sends what is due over the configured channels, once each, and again later where that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.alerts.alert import Alert, Kind, Project, Shape, body_of, shape_of
from lora_tui.alerts.command import CommandFailedError, run_command
from lora_tui.alerts.sent import SentAlerts, open_sent
from lora_tui.alerts.webhook import WebhookBusyError, WebhookRefusedError, post
from lora_tui.clock import Backoff
from lora_tui.config.table import ALERT_SENDERS, Profile
from lora_tui.errors import ConfigError, DiskError, LoraTuiError

APPLICATION, HARVEST = ALERT_SENDERS
BACKOFF: Final = Backoff(first=30.0, longest=1_800.0, least=0.75, most=1.25)
"""Between rounds whose sending failed; in a round, the one policy for requests holds."""
IN_USE_SECONDS: Final = 30.0
"""Until the next look, while another process sends."""
_LONGEST_PAUSE: Final = 3_600.0
"""Seconds; a webhook that asks for a longer pause is asked again after these."""
SHORTEST_PAUSE: Final = 5.0
_MOST_REFUSED: Final = 3
"""Alerts in a row; after them the fault is taken to be the channel's."""
_log: Final = logging.getLogger("lora_tui.alerts")


class Channel(NamedTuple):
    """One way on which alerts leave this machine."""

    name: str
    """In the note of what was sent."""
    words: str
    """For people: "the webhook (slack)"."""
    send: Callable[[Alert], None]
    """Raises LoraTuiError; CommandFailedError, WebhookRefusedError for this alert alone."""


def sends(profile: Profile, who: str) -> bool:
    """Whether alerts are configured, and APPLICATION or HARVEST is the one that sends them."""
    return bool(profile.alert_url or profile.alert_command) and profile.alert_sender == who


def project_of(profile: Profile) -> Project:
    """The project of a profile."""
    return Project(profile.name, profile.identity or profile.url)


def channels_of(profile: Profile) -> list[Channel]:
    """The channels of a profile; each gets every alert."""
    channels = []
    if profile.alert_url:
        url, allow_private = profile.alert_url, profile.allow_private_urls
        shape = Shape(profile.alert_format or shape_of(url.reveal()))
        channels.append(
            Channel(
                "webhook",
                f"the webhook ({shape.value})",
                lambda alert: post(url, body_of(alert, shape), allow_private=allow_private),
            )
        )
    if profile.alert_command:
        command = profile.alert_command
        channels.append(
            Channel(
                "command",
                "the command",
                lambda alert: run_command(command, body_of(alert, Shape.PLAIN)),
            )
        )
    return channels


def required_channels(profile: Profile) -> list[Channel]:
    """Like `channels_of`. Raises ConfigError where there is none."""
    channels = channels_of(profile)
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


@dataclass
class _Waiting:
    """When something that has failed is tried again."""

    failures: int = 0
    until: float = 0.0
    """As `time.monotonic()` counts."""

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    def fail(self, *, at_least: float = 0.0) -> float:
        """Note another failure; the seconds until the next attempt."""
        self.failures += 1
        wait = max(BACKOFF.wait(self.failures), min(at_least, _LONGEST_PAUSE))
        self.until = time.monotonic() + wait
        return wait


@dataclass
class _Retries:
    """What of one channel waits: all of it, or single alerts that it refused."""

    channel: _Waiting = field(default_factory=_Waiting)
    alerts: dict[str, _Waiting] = field(default_factory=dict)
    """By event id."""

    @property
    def waiting(self) -> list[_Waiting]:
        return [*self.alerts.values()] if self.channel.is_over else [self.channel]

    def may_send(self, event_id: str) -> bool:
        waiting = self.alerts.get(event_id)
        return waiting is None or waiting.is_over


class AlertSender:
    """Sends events of one project that were not sent yet; used by one thread."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._retries: dict[str, _Retries] = {}
        """By channel."""
        self._unnoted: dict[tuple[str, str], datetime] = {}
        """Events that were sent over a channel, and that could not be noted: the disk is full."""
        self.failure: LoraTuiError | None = None
        """What failed last in the newest round."""

    def use(self, profile: Profile) -> None:
        """Take changed settings of the same project; what has failed need not wait then."""
        if profile != self._profile:
            self._profile = profile
            self._retries.clear()

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
        """Send those that were not sent yet, and the kept ones; how many went over every channel.

        Each channel is noted after it was sent over: a crash between the two repeats it. What
        fails waits. Raises DiskError.
        """
        self.failure = None
        channels = channels_of(self._profile)
        with open_sent(self._profile, clock.now()) as sent:
            if sent is None:
                return 0
            for (event_id, name), moment in self._unnoted.items():
                sent.add(event_id, name, moment)
            batch = list({alert.event_id: alert for alert in (*sent.pending, *alerts)}.values())
            names = [channel.name for channel in channels]

            def everywhere(alert: Alert) -> bool:
                return all(sent.has(alert.event_id, name) for name in names)

            waiting = [
                alert
                for alert in batch
                if not everywhere(alert) and (alert.unless is None or alert.unless not in sent)
            ]
            for channel in channels:
                self._send_over(channel, waiting, sent, names)
            return sum(map(everywhere, waiting))

    @property
    def retry_seconds(self) -> float | None:
        """Seconds until the next attempt of what has failed; None where nothing has."""
        times = [
            each.until
            for retries in self._retries.values()
            for each in retries.waiting
            if each.failures
        ]
        return max(SHORTEST_PAUSE, min(times) - time.monotonic()) if times else None

    def _send_over(
        self, channel: Channel, batch: Sequence[Alert], sent: SentAlerts, names: Sequence[str]
    ) -> None:
        retries = self._retries.setdefault(channel.name, _Retries())
        if not retries.channel.is_over:
            return
        due = [alert for alert in batch if not sent.has(alert.event_id, channel.name)]
        wanted = {alert.event_id for alert in due}
        retries.alerts = {key: each for key, each in retries.alerts.items() if key in wanted}
        refused = 0
        for alert in due:
            if not retries.may_send(alert.event_id):
                continue
            try:
                channel.send(alert)
            except (WebhookRefusedError, CommandFailedError) as error:  # others may be taken
                waiting = retries.alerts.setdefault(alert.event_id, _Waiting())
                self._note_failure(error, waiting.fail())
                refused += 1
                if refused == _MOST_REFUSED:
                    retries.channel.fail()
                    return
                continue
            except LoraTuiError as error:
                asked = error.retry_after if isinstance(error, WebhookBusyError) else 0.0
                self._note_failure(error, retries.channel.fail(at_least=asked))
                return
            refused = 0
            retries.alerts.pop(alert.event_id, None)
            self._note_sent(alert, channel, sent, names)
        retries.channel = _Waiting()

    def _note_sent(
        self, alert: Alert, channel: Channel, sent: SentAlerts, names: Sequence[str]
    ) -> None:
        """Note it on the disk; where that is full, in memory until it is not."""
        now = clock.now()
        self._unnoted[alert.event_id, channel.name] = now
        sent.add(alert.event_id, channel.name, now)
        try:
            sent.save(names)
        except DiskError as error:
            self.failure = error
            _log.warning("an alert was sent; a restart repeats it: %s", error)
        else:
            self._unnoted.clear()

    def _note_failure(self, error: LoraTuiError, wait: float) -> None:
        self.failure = error
        _log.warning("an alert was not sent, tried again in %.0f s: %s", wait, error)
