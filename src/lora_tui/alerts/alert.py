"""What an alert is, and the JSON in which a webhook or a command gets it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.json_values import json_text, mapping

Detail = str | int | float | None


class Kind(StrEnum):
    """What happened."""

    FINISHED = "job_finished"
    FAILED = "job_failed"
    EXPIRING = "result_expiring"
    LOST = "result_lost"
    WARNING = "run_warning"
    SPENDING = "spending_limit"
    TEST = "test"


class Project(NamedTuple):
    """Where an event happened."""

    name: str
    """Of the profile, as it is shown."""
    identity: str
    """The same for all who watch it."""


class Shape(StrEnum):
    """Whose JSON a webhook takes."""

    SLACK = "slack"
    DISCORD = "discord"
    PLAIN = "plain"


@dataclass(frozen=True)
class Alert:
    """One event, in words and as data. All text has passed `terminal_safe`."""

    event_id: str
    """The same whenever this event is sent, so that a receiver can drop a repeat."""
    kind: Kind
    title: str
    message: str
    at: datetime
    project: str
    job_id: str | None = None
    model_id: str | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)


_GOOD: Final = 0x2E9E5B
_BAD: Final = 0xC4372C
_NEUTRAL: Final = 0x3B7DD8
_COLOURS: Final = {Kind.FINISHED: _GOOD, Kind.TEST: _NEUTRAL}
_MOST_TEXT: Final = 1_500
"""Characters; Discord takes 2,000 in a message and 4,096 in an embed, Slack 3,000 in a block."""


def event_id(project: Project, kind: Kind, *parts: object) -> str:
    """The id of an event: the same on every machine and for every attempt."""
    text = "\n".join([project.identity, kind.value, *map(str, parts)])
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]


def shape_of(url: str) -> Shape:
    """The shape that the host of a webhook takes."""
    host = (urlsplit(url).hostname or "").lower()
    if host == "hooks.slack.com" or host.endswith(".slack.com"):
        return Shape.SLACK
    if host in ("discord.com", "discordapp.com") or host.endswith(".discord.com"):
        return Shape.DISCORD
    return Shape.PLAIN


def body_of(alert: Alert, shape: Shape) -> bytes:
    """The JSON of an alert. Text of the backend is never markup, and mentions nobody."""
    make = {Shape.SLACK: _slack, Shape.DISCORD: _discord, Shape.PLAIN: as_data}[shape]
    return json_text(make(alert)).encode()


def as_data(alert: Alert) -> dict[str, Any]:
    """The plain shape."""
    return {
        "event_id": alert.event_id,
        "kind": alert.kind.value,
        "title": alert.title,
        "message": alert.message,
        "at": timestamp_text(alert.at),
        "project": alert.project,
        "job_id": alert.job_id,
        "model_id": alert.model_id,
        "details": dict(alert.details),
    }


def from_data(data: Mapping[str, Any]) -> Alert | None:
    """The alert of its plain shape; None where that is damaged."""
    at = parse_timestamp(data.get("at"))
    if at is None or data.get("kind") not in list(Kind):
        return None
    text = {name: str(data.get(name) or "") for name in ("event_id", "title", "message", "project")}
    return Alert(
        **text,
        kind=Kind(data["kind"]),
        at=at,
        job_id=data.get("job_id"),
        model_id=data.get("model_id"),
        details=mapping(data.get("details")),
    )


def _slack(alert: Alert) -> dict[str, Any]:
    return {
        "text": _without_markup(f"{alert.title}: {_short(alert.message)}"),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": alert.title[:150]}},
            {
                "type": "section",
                "text": {"type": "plain_text", "text": _short(alert.message) or alert.title},
            },
            {
                "type": "context",
                "elements": [
                    {
                        "type": "plain_text",
                        "text": f"{alert.project}, event {alert.event_id}"[:300],
                    }
                ],
            },
        ],
    }


def _discord(alert: Alert) -> dict[str, Any]:
    return {
        "content": "",
        "allowed_mentions": {"parse": []},
        "embeds": [
            {
                "title": _escaped(alert.title)[:256],
                "description": _escaped(_short(alert.message)),
                "color": _COLOURS.get(alert.kind, _BAD),
                "timestamp": timestamp_text(alert.at),
                "footer": {"text": f"{alert.project}, event {alert.event_id}"[:300]},
            }
        ],
    }


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"


def _without_markup(text: str) -> str:
    """Slack's three control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(text: str) -> str:
    """Without Discord's markup."""
    return "".join(f"\\{letter}" if letter in "\\*_~`|>[]()#<@" else letter for letter in text)
