"""What else knows a model that is archived or deleted: this disk, one's aliases, servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from lora_tui import formats
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.own_marks import get_marks
from lora_tui.clock import parse_timestamp
from lora_tui.json_values import mapping


def consequences(db: sqlite3.Connection, model_id: str) -> tuple[str, ...]:
    """Sentences without a subject on what stays where the model is deleted; empty for nothing."""
    found = []
    sql = "SELECT servers FROM served WHERE model_id = ? AND servers <> ''"
    served = db.execute(sql, [model_id]).fetchone()
    if served is not None and str(served[0]).split():
        found.append(f"stays loaded on {', '.join(str(served[0]).split())}")
    aliases = get_marks(db, model_id).aliases
    if aliases:
        found.append(f"@{', @'.join(aliases)} will name no model of the list")
    if downloaded_to(db, model_id) is not None:
        found.append("its download stays on this disk")
    return tuple(found)


def lost_files(row: Mapping[str, Any]) -> str | None:
    """What the harvester removed of a deleted model's files, as a sentence; None for nothing."""
    configuration = mapping(row.get("configuration"))
    removed = parse_timestamp(configuration.get("files_removed_at"))
    if removed is not None:
        return f"Its files were removed from the bucket on {formats.date(removed)}"
    if configuration.get("files_removal_began_at"):
        return "Some of its files may be gone from the bucket"
    return None
