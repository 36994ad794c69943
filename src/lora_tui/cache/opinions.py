"""The second opinion on a run, by what the cache has of its curve."""

from __future__ import annotations

import sqlite3

from lora_tui.cache.metrics import get_curve, get_points
from lora_tui.second_opinion import Opinion, second_opinion


def get_opinion(db: sqlite3.Connection, job_id: str) -> Opinion | None:
    """By all logged points, else by the thinned curve; None where nothing is cached."""
    logged = get_points(db, job_id)
    if logged:
        return second_opinion(logged)
    curve = get_curve(db, job_id)
    return second_opinion(curve, thinned=True) if curve else None
