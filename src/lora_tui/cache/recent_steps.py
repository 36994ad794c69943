"""The newest points of a run, from which its pace is computed."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from lora_tui.cache.metrics import moment_of
from lora_tui.clock import timestamp_text
from lora_tui.domain.run_progress import RECENT_SECONDS


def recent_steps(
    db: sqlite3.Connection, job_id: str, seconds: float = RECENT_SECONDS
) -> list[tuple[datetime, float]]:
    """Time and step of two points: the first of the last so many seconds, and the last one.

    Empty without points. Those between the two are not read, because a list shows many runs.
    """
    sql = "SELECT timestamp, step FROM metrics WHERE job_id = ? AND step IS NOT NULL"
    last = db.execute(f"{sql} ORDER BY timestamp DESC, id DESC LIMIT 1", [job_id]).fetchone()
    end = None if last is None else moment_of(last[0])
    if end is None:
        return []
    since = timestamp_text(end - timedelta(seconds=seconds))
    sql = f"{sql} AND timestamp >= ? ORDER BY timestamp, id LIMIT 1"
    first = db.execute(sql, [job_id, since]).fetchone()
    ends = [(moment_of(text), step) for text, step in (first, last)]
    return [(moment, step) for moment, step in ends if moment is not None]
