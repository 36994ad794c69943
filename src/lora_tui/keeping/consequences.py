"""What else knows a model that is archived or deleted: this disk, one's aliases, servers."""

from __future__ import annotations

import sqlite3

from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.own_marks import get_marks


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
