"""Computes the ratings that the second opinion suggests, for the models that lack one.

An opinion takes a millisecond for the curve that came with a model, and ten for a run of 3,000
points: as long as drawing the curve. So no sync waits for it; whoever has time does it afterwards.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.runs import gc_paused, get_opinion, get_run_version

TURN: Final = 1.0
"""Seconds after which what was computed is written, so that lists show it."""
_AT_ONCE: Final = 500
_UNJUDGED: Final = (
    "SELECT n, job_id, facts FROM model_values INDEXED BY model_values_unjudged"
    " WHERE judged = 0 ORDER BY n DESC LIMIT ?"
)


def suggest_some(db: sqlite3.Connection, seconds: float = TURN) -> int:
    """Compute suggested ratings for about so many seconds; the number of models that got one.

    0 when none is left. What changes meanwhile is judged again by the next call. Raises CacheError.
    """
    found = []
    until = time.monotonic() + seconds
    for n, job_id, facts in db.execute(_UNJUDGED, [_AT_ONCE]).fetchall():
        version = get_run_version(db, job_id)
        with gc_paused():
            opinion = get_opinion(db, job_id)
        stars = None if opinion is None else opinion.stars
        found.append((n, job_id, facts, version, stars))
        if time.monotonic() > until:
            break
    if not found:
        return 0
    with transaction(db, Topic.MODELS):
        for n, job_id, facts, version, stars in found:
            if get_run_version(db, job_id) == version:
                db.execute(
                    "UPDATE model_values SET suggested_stars = ?, judged = 1"
                    " WHERE n = ? AND judged = 0 AND facts IS ?",
                    [stars, n, facts],
                )
    return len(found)


def count_missing(db: sqlite3.Connection) -> int:
    """How many models have a suggested rating that is still to be computed."""
    sql = "SELECT count(*) FROM model_values INDEXED BY model_values_unjudged WHERE judged = 0"
    return int(db.execute(sql).fetchone()[0])


def suggest_all(db: sqlite3.Connection, check_stop: Callable[[], None]) -> None:
    """Compute all suggested ratings that are missing, a turn after the other.

    `check_stop` is called between turns, and may raise. Raises CacheError.
    """
    while suggest_some(db):
        check_stop()
