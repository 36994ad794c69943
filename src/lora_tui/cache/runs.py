"""A run by what the cache has of its curve: all logged points, else the downsampled curve."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from lora_tui.cache.metrics import get_curve, get_logged
from lora_tui.curves.gc_pause import gc_paused
from lora_tui.curves.series import Series
from lora_tui.opinion import Opinion, second_opinion


@dataclass(frozen=True)
class Run:
    """What a chart draws, and what is to be said of it."""

    series: Series
    opinion: Opinion | None
    """None where nothing is cached."""


def get_run(db: sqlite3.Connection, job_id: str) -> Run:
    """Both; takes seconds for a run of a million points."""
    with gc_paused():
        return _read(db, job_id)  # whose points are gone again when the collector goes on


def get_opinion(db: sqlite3.Connection, job_id: str) -> Opinion | None:
    """The second opinion alone."""
    logged = get_logged(db, job_id)
    if logged:
        return second_opinion(logged)
    curve = get_curve(db, job_id)
    return second_opinion(curve, downsampled=True) if curve else None


def get_run_version(db: sqlite3.Connection, job_id: str) -> tuple[object, ...] | None:
    """Another one whenever points have come; None where nothing is cached. Costs nothing."""
    sql = "SELECT total, last_timestamp, last_id FROM curves WHERE job_id = ?"
    found = db.execute(sql, [job_id]).fetchone()
    return None if found is None else tuple(found)


def _read(db: sqlite3.Connection, job_id: str) -> Run:
    logged = get_logged(db, job_id)
    series = Series.from_logged(logged)
    if not len(series):
        series = Series.from_points(get_curve(db, job_id))
    if logged:
        return Run(series, second_opinion(logged))
    downsampled = series.points(range(len(series)))
    return Run(series, second_opinion(downsampled, downsampled=True) if downsampled else None)
