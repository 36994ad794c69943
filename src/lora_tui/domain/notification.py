"""A message of the backend to the user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lora_tui.clock import parse_timestamp
from lora_tui.json_values import Row, identifier, mapping, text_or_none


@dataclass(frozen=True)
class Notification:
    """A message of the backend to the user."""

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
            type=text_or_none(row.get("type"), limit=60) or "",
            title=text_or_none(row.get("title")) or "",
            message=text_or_none(row.get("message"), limit=500) or "",
            priority=text_or_none(row.get("priority"), limit=20) or "medium",
            read=row.get("read") in (True, 1, "true", "t"),
            model_id=identifier(mapping(row.get("metadata")).get("artifact_id")) or None,
            created_at=parse_timestamp(row.get("created_at")),
        )
