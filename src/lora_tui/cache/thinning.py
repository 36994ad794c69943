"""Bounds the cache: of the points of old runs it keeps only some hundreds each.

These have all columns and tell what the run was like: of each stretch the first point, the lowest
and the highest loss, the highest gradient norm, points around losses that are not numbers, and the
last evaluation; and of the run the lowest validation loss. When such a run is opened, all points
are fetched again (fetching/curves.py).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from lora_tui import clock
from lora_tui.cache import metadata, metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.drawing import sum_of_points
from lora_tui.cache.jobs import Activity
from lora_tui.cache.sums import SUMMED, checksum
from lora_tui.clock import timestamp_text

THIN_EVERY: Final = timedelta(hours=24)
_THINNED: Final = "points.thinned"
STRETCHES: Final = 250
"""Stretches that a run is divided into; at most six points of each stay."""
_SMALL: Final = 1_500
"""A run of no more points keeps all: nothing would be gained."""


def thin_old_runs(db: sqlite3.Connection, whole_runs: int) -> int:
    """Drop most points of all runs but the newest `whole_runs`; how many runs these were.

    Those that still run, or whose points are still followed, keep all. Each run is a transaction.
    """
    sql = (
        "SELECT c.job_id FROM curves c JOIN jobs j ON j.id = c.job_id"
        " WHERE c.total > ? AND c.points_sum IS NOT NULL AND c.thinned_from IS NULL"
        " AND c.live IS NULL AND c.lacks_earlier IS NULL"
        f" AND j.activity = {Activity.ENDED} AND c.job_id NOT IN"
        " (SELECT k.job_id FROM curves k WHERE k.total > 0"
        " ORDER BY k.last_timestamp DESC LIMIT ?)"
    )
    job_ids = [str(row[0]) for row in db.execute(sql, [_SMALL, whole_runs])]
    for job_id in job_ids:
        with transaction(db, Topic.CURVES):
            _thin(db, job_id)
    return len(job_ids)


def thin_if_due(db: sqlite3.Connection, whole_runs: int) -> None:
    """Thin old runs once a day, so one that was opened keeps its points for a day at most."""
    if metadata.is_due(db, _THINNED, THIN_EVERY):
        thin_old_runs(db, whole_runs)
        with transaction(db):
            metadata.put_value(db, _THINNED, timestamp_text(clock.now()))


def is_thinned(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether most points of a run were dropped."""
    sql = "SELECT 1 FROM curves WHERE job_id = ? AND thinned_from IS NOT NULL"
    return db.execute(sql, [job_id]).fetchone() is not None


def thinned_points(db: sqlite3.Connection, job_id: str) -> tuple[int, int] | None:
    """How many points of a run are cached, and how many it had logged; None if all are cached."""
    sql = "SELECT total, thinned_from FROM curves WHERE job_id = ? AND thinned_from IS NOT NULL"
    found = db.execute(sql, [job_id]).fetchone()
    return None if found is None else (int(found[0]), int(found[1]))


def _thin(db: sqlite3.Connection, job_id: str) -> None:
    """Drop all but a few points of each stretch; the drawn curve stays as it is."""
    found = db.execute(
        "SELECT rowid, training_loss, validation_loss, gradient_norm FROM metrics"
        " WHERE job_id = ? ORDER BY timestamp, id",
        [job_id],
    ).fetchall()
    length = -(-len(found) // STRETCHES)
    kept = {found[-1][0]} if found else set()
    validated = [row for row in found if isinstance(row[2], float) and math.isfinite(row[2])]
    if validated:
        kept.add(min(validated, key=lambda row: row[2])[0])
    for start in range(0, len(found), length):
        kept |= _kept_points(found[start : start + length])
    db.execute("CREATE TEMP TABLE IF NOT EXISTS kept_points (n INTEGER PRIMARY KEY)")
    db.execute("DELETE FROM temp.kept_points")
    db.executemany("INSERT INTO temp.kept_points (n) VALUES (?)", [(number,) for number in kept])
    db.execute(
        "DELETE FROM metrics WHERE job_id = ? AND rowid NOT IN (SELECT n FROM temp.kept_points)",
        [job_id],
    )
    _note_thinned(db, job_id, len(found))


def _note_thinned(db: sqlite3.Connection, job_id: str, total: int) -> None:
    """Note that most of a job's `total` points were dropped; the curve stays."""
    rest, points_sum = sum_of_points(db, job_id)
    found = db.execute(
        f"SELECT {', '.join(SUMMED['curves'])} FROM curves WHERE job_id = ?", [job_id]
    ).fetchone()
    values = (*found[:3], rest, *found[4:])
    db.execute(
        "UPDATE curves SET total = ?, sum = ?, points_sum = ?, thinned_from = ? WHERE job_id = ?",
        [rest, checksum(values), points_sum, total, job_id],
    )
    metrics.refresh_values(db, job_id)


def _kept_points(rows: Sequence[sqlite3.Row]) -> set[int]:
    """The row numbers of the points of one stretch that stay."""
    losses = [(row[1], row[0]) for row in rows if row[1] is not None]
    gradients = [(row[3], row[0]) for row in rows if isinstance(row[3], float)]
    broken = [row[0] for row in rows if row[1] is None]
    validated = [row[0] for row in rows if row[2] is not None]
    kept = {rows[0][0], *broken[:1], *validated[-1:]}
    if losses:
        kept |= {min(losses)[1], max(losses)[1]}
    if gradients:
        kept.add(max(gradients)[1])
    return kept
