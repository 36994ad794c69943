"""A message that the backend left for the user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lora_tui.clock import parse_timestamp
from lora_tui.json_values import Row, identifier, mapping, text_or_none
from lora_tui.text import terminal_safe


@dataclass(frozen=True)
class Notification:
    """A message that the backend left for the user."""

    id: str
    type: str
    title: str
    message: str
    priority: str
    read: bool
    model_id: str | None
    created_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Notification:
        """Read a row of `notifications`."""
        return cls(
            id=identifier(row.get("id")),
            type=terminal_safe(row.get("type"), limit=60),
            title=terminal_safe(row.get("title"), limit=200),
            message=terminal_safe(row.get("message"), limit=500),
            priority=terminal_safe(row.get("priority"), limit=20) or "medium",
            read=row.get("read") in (True, 1, "true", "t"),
            model_id=text_or_none(mapping(row.get("metadata")).get("artifact_id")),
            created_at=parse_timestamp(row.get("created_at")),
        )
