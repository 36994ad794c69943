"""Points of runs that go on: written, counted and drawn without reading the earlier ones again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lora_tui.cache import metadata, metrics
from lora_tui.cache.connection import transaction
from lora_tui.cache.drawing import raw_points, sum_with
from lora_tui.cache.metrics import CHART_POINTS, CurveState
from lora_tui.cache.stored_numbers import number_of
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.curves.growing import GrowingCurve
from lora_tui.domain import MetricPoint

_READ_AT: Final = "live.read"


def points_read_at(db: sqlite3.Connection) -> datetime | None:
    """The server's time when the points of running jobs were last complete; None if unknown.

    A run has stalled if it logged nothing for long until then. After that nobody knows: this
    machine may be offline.
    """
    return parse_timestamp(metadata.get_value(db, _READ_AT))


def note_points_read(db: sqlite3.Connection, moment: datetime) -> None:
    """Note that all points up to a moment of the server have been read."""
    with transaction(db):
        metadata.put_value(db, _READ_AT, timestamp_text(moment))


def note_earlier(db: sqlite3.Connection, job_id: str, *, missing: bool) -> None:
    """Note whether a run has points before the first cached one. Call inside a transaction."""
    value = 1 if missing else None
    sql = "UPDATE curves SET lacks_earlier = ? WHERE job_id = ? AND lacks_earlier IS NOT ?"
    if db.execute(sql, [value, job_id, value]).rowcount:
        metrics.refresh_values(db, job_id)


def lacks_earlier(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether a run has points before the first cached one: its newest ones came first."""
    sql = "SELECT 1 FROM curves WHERE job_id = ? AND lacks_earlier = 1"
    return db.execute(sql, [job_id]).fetchone() is not None


def is_unknown(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether neither points nor a curve of a run are cached."""
    sql = "SELECT 1 FROM curves WHERE job_id = ?1 UNION ALL SELECT 1 FROM metrics WHERE job_id = ?1"
    return db.execute(f"{sql} LIMIT 1", [job_id]).fetchone() is None


class LiveCurves:
    """The curves that this process draws further. Only its thread uses it.

    What it holds is derived from the cache. Where the cache has other points than it has drawn
    (another process wrote, a point came late), a curve is drawn from all points again.
    """

    def __init__(self) -> None:
        self._drawn: dict[str, tuple[CurveState, GrowingCurve]] = {}

    def append(self, db: sqlite3.Connection, job_id: str, points: Sequence[MetricPoint]) -> None:
        """Write new points of a job, and draw them. Call inside a transaction.

        No point may be in the cache already.
        """
        before = metrics.curve_state(db, job_id)
        metrics.insert_points(db, "metrics", job_id, points)
        state, curve = self._drawn.get(job_id, (None, None))
        if before is not None and curve is not None and state == before:
            after = (before.last_timestamp or "", before.last_id or "")
            if all(metrics.place_of(point) > after for point in points):
                self._draw(db, job_id, before, curve)
                return
        self._draw(db, job_id, CurveState(0, None, None, 0), GrowingCurve(CHART_POINTS))

    def forget(self, job_ids: Sequence[str]) -> None:
        """Forget the curves of jobs, such as those that have ended."""
        for job_id in job_ids:
            self._drawn.pop(job_id, None)

    def _draw(
        self, db: sqlite3.Connection, job_id: str, state: CurveState, curve: GrowingCurve
    ) -> None:
        """Draw the points beyond those of `state`."""
        total, points_sum, newest = state.total, state.points_sum or 0, state.newest
        last = state.last_timestamp, state.last_id
        for row in raw_points(db, job_id, (last[0] or "", last[1] or "")):
            timestamp, point_id, step, _, training, validation, _, gradient, *_ = row
            read = number_of
            logged = step, training, read(validation), read(gradient)
            curve.add(*logged)
            newest = newest.with_point(*logged)
            total, points_sum = total + 1, sum_with(points_sum, row)
            last = timestamp, point_id
        drawn = CurveState(total, *last, points_sum, newest)
        metrics.put_curve(db, job_id, curve.points(), drawn, live=True)
        self._drawn[job_id] = drawn, curve
