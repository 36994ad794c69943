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
    unless: str | None = None
    """The id of an event that contradicts this one: it is not sent after that."""


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
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    if _is_of(host, "slack.com", "slack-gov.com"):
        return Shape.SLACK
    if _is_of(host, "discord.com", "discordapp.com"):
        return Shape.SLACK if parts.path.rstrip("/").endswith("/slack") else Shape.DISCORD
    return Shape.PLAIN


def _is_of(host: str, *domains: str) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


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
    """`text` is for notifications, and for servers that take Slack's JSON and know no blocks."""
    message = _short(alert.message)
    return {
        "text": _without_markup(f"{alert.title}: {message}"),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": _plain(alert.title, 150)},
            {"type": "section", "text": _plain(message or alert.title, 3_000)},
            {
                "type": "context",
                "elements": [_plain(f"{_cut(alert.project, 200)}, event {alert.event_id}", 300)],
            },
        ],
    }


def _discord(alert: Alert) -> dict[str, Any]:
    return {
        "content": "",
        "allowed_mentions": {"parse": []},
        "embeds": [
            {
                "title": _escaped(alert.title, 256),
                "description": _escaped(_short(alert.message), 4_096),
                "color": _COLOURS.get(alert.kind, _BAD),
                "timestamp": timestamp_text(alert.at),
                "footer": {"text": f"{_cut(alert.project, 200)}, event {alert.event_id}"},
            }
        ],
    }


def _plain(text: str, most: int) -> dict[str, Any]:
    """A text of Slack in which nothing is markup, nor an emoji by its name."""
    return {"type": "plain_text", "text": _cut(text, most), "emoji": False}


def _short(text: str) -> str:
    return _cut(text, _MOST_TEXT)


def _cut(text: str, most: int) -> str:
    """At most `most` characters as services count them: those beyond U+FFFF as two."""
    if _length(text) <= most:
        return text
    while _length(text) >= most:
        text = text[: len(text) - max(1, (_length(text) - most) // 2)]
    return f"{text}…"


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _without_markup(text: str) -> str:
    """Without Slack's three control characters, and with no name that other servers notify."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "@\N{ZERO WIDTH SPACE}")


def _escaped(text: str, most: int) -> str:
    """Without Discord's markup; cut so that no escape loses its second half."""
    escaped = _with_escapes(text)
    while _length(escaped) > most:
        text = _cut(text, _length(text) - max(1, (_length(escaped) - most) // 2))
        escaped = _with_escapes(text)
    return escaped


def _with_escapes(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\*_~`|>[]()#<@:-" else letter for letter in text)
