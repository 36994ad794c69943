"""Metric points and loss curves in the cache.

An ordinary sync only adds points; a full sync replaces those of a job.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from lora_tui.cache.drawing import VALUES as _VALUES
from lora_tui.cache.drawing import read_drawing
from lora_tui.cache.jobs import Activity
from lora_tui.cache.model_values import refresh_job
from lora_tui.cache.run_values import forget_runs, put_run, recorded_in_curve
from lora_tui.cache.stored_numbers import number_of, stored_number
from lora_tui.cache.sums import check_row, checksum, columns_of
from lora_tui.clock import is_written, parse_timestamp, timestamp_text
from lora_tui.curves.downsample_and_smooth import downsample
from lora_tui.curves.series import Logged
from lora_tui.domain import (
    CurvePoint,
    MetricPoint,
    NewestValues,
    StepLoss,
    finite,
)

CHART_POINTS = 600
SPARKLINE_POINTS = 48
_COLUMNS = f"job_id, timestamp, id, {_VALUES}"


def get_curve(db: sqlite3.Connection, job_id: str) -> tuple[CurvePoint, ...]:
    """The down-sampled curve, at most `CHART_POINTS` long; empty if it is not cached."""
    sql = f"SELECT {columns_of('curves', 'c')} FROM curves c WHERE c.job_id = ?"
    found = db.execute(sql, [job_id]).fetchone()
    if found is None:
        return ()
    check_row(found)
    return tuple(CurvePoint(*point) for point in json.loads(found["points"]))


def get_points(
    db: sqlite3.Connection, job_id: str, *, last: int | None = None
) -> list[MetricPoint]:
    """All raw points of a job, or the `last` ones, in order."""
    sql = (
        f"SELECT id, timestamp, {_VALUES} FROM metrics WHERE job_id = ?"
        " ORDER BY timestamp DESC, id DESC LIMIT ?"
    )
    found = db.execute(sql, [job_id, -1 if last is None else last]).fetchall()
    return [
        MetricPoint(point_id, timestamp, *map(number_of, values))
        for point_id, timestamp, *values in reversed(found)
    ]


def first_point(db: sqlite3.Connection, job_id: str) -> MetricPoint | None:
    """The first raw point of a job."""
    sql = f"SELECT id, timestamp, {_VALUES} FROM metrics WHERE job_id = ? ORDER BY timestamp, id"
    found = db.execute(f"{sql} LIMIT 1", [job_id]).fetchone()
    return found and MetricPoint(found[0], found[1], *map(number_of, tuple(found)[2:]))


def get_logged(db: sqlite3.Connection, job_id: str) -> list[Logged]:
    """All points of a job in order, with the seconds since the first one; fast for long runs."""
    sql = (
        "SELECT step, training_loss, validation_loss, timestamp, learning_rate, gradient_norm"
        " FROM metrics WHERE job_id = ? ORDER BY timestamp, id"
    )
    points = []
    start: datetime | None = None
    for step, training, validation, text, rate, gradient in db.execute(sql, [job_id]):
        moment = moment_of(text)
        start = start or moment
        since = None if start is None or moment is None else (moment - start).total_seconds()
        points.append(
            Logged(step, training, number_of(validation), since, rate, number_of(gradient))
        )
    return points


def last_validation(db: sqlite3.Connection, job_id: str) -> StepLoss | None:
    """The last validation loss that is a number; fast where one was recorded near the end."""
    sql = (
        "SELECT step, validation_loss FROM metrics WHERE job_id = ?"
        " AND validation_loss IS NOT NULL AND step IS NOT NULL ORDER BY timestamp DESC, id DESC"
    )
    for step, loss in db.execute(sql, [job_id]):
        recorded = finite(number_of(loss))
        if recorded is not None:
            return StepLoss(step, recorded)
    return None


def newest_values(db: sqlite3.Connection, job_id: str) -> NewestValues:
    """What the newest points tell; fast where each value was logged near the end."""
    sql = (
        "SELECT step, training_loss, validation_loss, gradient_norm FROM metrics"
        " WHERE job_id = ? ORDER BY timestamp DESC, id DESC"
    )
    found = NewestValues()
    for step, loss, *others in db.execute(sql, [job_id]):
        point = NewestValues().with_point(step, loss, *map(number_of, others))
        found = NewestValues(*(b if a is None else a for a, b in zip(found, point, strict=True)))
        if None not in found:
            break
    return found


def place_of(point: MetricPoint) -> tuple[str, str]:
    """The place of a point in the order of all, as the cache has it."""
    return _written(point.timestamp), point.id


def last_point(db: sqlite3.Connection, job_id: str) -> tuple[str, str] | None:
    """The (timestamp, id) of the newest cached point."""
    found = db.execute(
        "SELECT last_timestamp, last_id FROM curves WHERE job_id = ? AND last_id IS NOT NULL",
        [job_id],
    ).fetchone()
    return None if found is None else (found[0], found[1])


def is_outdated(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether the cached points have to be fetched again, all of them.

    No curve was drawn from them, they lack columns (an earlier version cached only the losses,
    schema.py), most were dropped (thinning.py), or earlier ones are still to come (live_curves.py).
    """
    sql = f"SELECT 1 FROM curves WHERE job_id = ? AND {_OUTDATED}"
    return db.execute(sql, [job_id]).fetchone() is not None


_OUTDATED = (
    "(points_sum IS NULL AND last_id IS NOT NULL OR thinned_from IS NOT NULL OR lacks_earlier = 1)"
)


def is_drawn(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether the curve was drawn from the cached points."""
    sql = "SELECT 1 FROM curves WHERE job_id = ? AND points_sum IS NOT NULL"
    return db.execute(sql, [job_id]).fetchone() is not None


def has_only_stored_curve(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether the curve came with a model, and its points were never fetched."""
    sql = (
        "SELECT 1 FROM curves c WHERE job_id = ? AND points_sum IS NULL AND last_id IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM metrics m WHERE m.job_id = c.job_id)"
    )
    return db.execute(sql, [job_id]).fetchone() is not None


def keep_stored_curve(db: sqlite3.Connection, job_id: str) -> None:
    """Record that the server has no points, so that the curve stays. Call inside a transaction."""
    db.execute("UPDATE curves SET points_sum = 0 WHERE job_id = ? AND total = 0", [job_id])


def known_points(db: sqlite3.Connection, job_id: str, since: str) -> set[str]:
    """The ids of the cached points since a time (in the form of `timestamp_text`)."""
    sql = "SELECT id FROM metrics WHERE job_id = ? AND timestamp >= ?"
    return {str(row[0]) for row in db.execute(sql, [job_id, since])}


def known_ids(db: sqlite3.Connection, job_id: str, ids: Iterable[str]) -> set[str]:
    """Those of these ids of points that are cached for a job."""
    sql = (
        "SELECT m.id FROM metrics m WHERE m.job_id = ? AND m.id IN (SELECT value FROM json_each(?))"
    )
    return {str(row[0]) for row in db.execute(sql, [job_id, json.dumps(list(ids))])}


def count_points(db: sqlite3.Connection, job_id: str, since: str = "") -> int:
    """The number of cached points of a job, since a time (in the form of `timestamp_text`)."""
    sql = "SELECT count(*) FROM metrics WHERE job_id = ? AND timestamp >= ?"
    return int(db.execute(sql, [job_id, since]).fetchone()[0])


def time_of_recent_point(db: sqlite3.Connection, job_id: str, back: int) -> str | None:
    """The time of the point that is `back` points before the last one; None for a shorter run.

    A read that begins there also finds what comes after a point that is dated in the future.
    """
    sql = (
        "SELECT timestamp FROM metrics WHERE job_id = ? ORDER BY timestamp DESC, id DESC"
        " LIMIT 1 OFFSET ?"
    )
    found = db.execute(sql, [job_id, back]).fetchone()
    return None if found is None else str(found[0])


def add_points(db: sqlite3.Connection, job_id: str, points: Sequence[MetricPoint]) -> None:
    """Add points; call `draw_curve` afterwards. Call inside a transaction."""
    insert_points(db, "metrics", job_id, points)
    # the curve is outdated until it is drawn again
    db.execute("UPDATE curves SET points_sum = NULL WHERE job_id = ?", [job_id])


def begin_replacement(db: sqlite3.Connection, job_id: str) -> None:
    """Prepare a temporary table for the points that will replace those of a job."""
    table = f"points_read ({_COLUMNS}, PRIMARY KEY (job_id, timestamp, id))"
    db.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table}")
    end_replacement(db, job_id)


def add_replacement(db: sqlite3.Connection, job_id: str, points: Sequence[MetricPoint]) -> None:
    """Add points to the temporary table."""
    insert_points(db, "temp.points_read", job_id, points)


def replace_points(db: sqlite3.Connection, job_id: str) -> None:
    """Replace the points of a job by those of the temporary table, and draw the curve.

    A curve that came with a model stays if there are no points. Call inside a transaction.
    """
    (total,) = db.execute(
        "SELECT count(*) FROM temp.points_read WHERE job_id = ?", [job_id]
    ).fetchone()
    known = db.execute("SELECT total FROM curves WHERE job_id = ?", [job_id]).fetchone()
    if not total and known is not None and not known[0]:
        return
    db.execute("DELETE FROM metrics WHERE job_id = ?", [job_id])
    db.execute(
        f"INSERT INTO metrics ({_COLUMNS}) SELECT {_COLUMNS} FROM temp.points_read"
        " WHERE job_id = ?",
        [job_id],
    )
    draw_curve(db, job_id)


def end_replacement(db: sqlite3.Connection, job_id: str) -> None:
    """Empty the temporary table of the points of a job."""
    db.execute("DELETE FROM temp.points_read WHERE job_id = ?", [job_id])


def insert_points(
    db: sqlite3.Connection, table: str, job_id: str, points: Sequence[MetricPoint]
) -> None:
    """Write points into a table of them, without drawing. Call inside a transaction."""
    db.executemany(
        f"INSERT OR REPLACE INTO {table} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            # the slices are of the columns between those that may be NaN
            (
                *(job_id, _written(p.timestamp), p.id, *p[2:5], stored_number(p.validation_loss)),
                *(p.learning_rate, stored_number(p.gradient_norm), *p[8:]),
            )
            for p in points
        ],
    )


def draw_curve(db: sqlite3.Connection, job_id: str) -> None:
    """Draw the curve from all cached points. Call inside a transaction."""
    found = read_drawing(db, job_id)
    newest = newest_values(db, job_id)
    state = CurveState(found.total, *found.last, found.points_sum, newest)
    put_curve(db, job_id, found.curve, state)


class CurveState(NamedTuple):
    """From which points a curve was drawn."""

    total: int
    last_timestamp: str | None
    last_id: str | None
    points_sum: int | None
    """The checksum of the points; None where some were added since."""
    newest: NewestValues = NewestValues()


def curve_state(db: sqlite3.Connection, job_id: str) -> CurveState | None:
    """From which points the curve was drawn; None if there is no curve."""
    sql = (
        "SELECT total, last_timestamp, last_id, points_sum, newest_step, newest_loss,"
        " newest_validation FROM curves WHERE job_id = ?"
    )
    found = db.execute(sql, [job_id]).fetchone()
    return found and CurveState(*found[:4])._replace(newest=NewestValues(*found[4:]))


def put_curve(
    db: sqlite3.Connection,
    job_id: str,
    curve: Sequence[CurvePoint],
    state: CurveState,
    *,
    live: bool = False,
) -> None:
    """Store a curve that was drawn from all cached points. Call inside a transaction.

    `live`: the points of the run are followed from now on, unless they are; see `mark_live`. That
    earlier ones are still to come stays noted (live_curves.py).
    """
    values = (
        job_id,
        _points_json(downsample(curve, CHART_POINTS)),
        _sparkline_json(curve),
        *state[:3],
    )
    db.execute(
        "INSERT OR REPLACE INTO curves (job_id, points, sparkline, total, last_timestamp, last_id,"
        " sum, points_sum, newest_step, newest_loss, newest_validation, live, lacks_earlier)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ifnull(?, (SELECT live FROM curves WHERE job_id = ?)),"
        " (SELECT lacks_earlier FROM curves WHERE job_id = ?))",
        (
            *(*values, checksum(values), state.points_sum, *state.newest),
            *(1 if live else None, job_id, job_id),
        ),
    )
    refresh_values(db, job_id)


def refresh_values(db: sqlite3.Connection, job_id: str) -> None:
    """Compute what the points tell of a job's models. Call inside the transaction."""
    forget_runs(db, [job_id])
    refresh_job(db, job_id)


def mark_live(db: sqlite3.Connection, job_id: str, live: bool = True) -> None:
    """Note whether the points of a run are followed. Call inside a transaction."""
    db.execute("UPDATE curves SET live = ? WHERE job_id = ?", [1 if live else None, job_id])


def unfinished_jobs(db: sqlite3.Connection) -> list[str]:
    """Jobs that run no longer, whose points were followed and not read to their end."""
    sql = (
        "SELECT c.job_id FROM curves c JOIN jobs j ON j.id = c.job_id"
        f" WHERE c.live = 1 AND j.activity <> {Activity.RUNNING}"
    )
    return [str(row[0]) for row in db.execute(sql)]


def put_stored_curve(db: sqlite3.Connection, job_id: str, curve: Sequence[CurvePoint]) -> None:
    """Store the curve that came with a model, unless there is one. Call inside a transaction."""
    points = _points_json(downsample(curve, CHART_POINTS))
    values = (job_id, points, _sparkline_json(curve), 0, None, None)
    written = db.execute(
        "INSERT OR IGNORE INTO curves (job_id, points, sparkline, total, last_timestamp, last_id,"
        " sum, newest_step, newest_loss, newest_validation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, checksum(values), *NewestValues.of_curve(curve)),
    )
    if written.rowcount == 1:
        put_run(db, job_id, recorded_in_curve(curve))
        refresh_job(db, job_id)


def jobs_to_fetch(db: sqlite3.Connection, newest: int) -> list[str]:
    """The jobs of the `newest` models whose points were never fetched, or are outdated.

    A curve that came with its model has a few hundred points at most, and losses alone.
    """
    sql = (
        "SELECT m.job_id FROM (SELECT job_id, created_at FROM models WHERE job_id <> ''"
        " ORDER BY created_at DESC, id LIMIT ?) m LEFT JOIN curves c ON c.job_id = m.job_id"
        " WHERE c.points_sum IS NULL ORDER BY m.created_at DESC"
    )
    return [str(row[0]) for row in db.execute(sql, [newest])]


def jobs_with_points(db: sqlite3.Connection) -> list[str]:
    """Jobs whose points have been fetched, even if there were none or not all came.

    Without those of which most points were dropped since (thinning.py).
    """
    sql = (
        "SELECT job_id FROM curves WHERE thinned_from IS NULL"
        " AND (points_sum IS NOT NULL OR last_id IS NOT NULL)"
        " UNION SELECT job_id FROM metrics WHERE job_id NOT IN"
        " (SELECT job_id FROM curves WHERE thinned_from IS NOT NULL)"
    )
    return [str(row[0]) for row in db.execute(sql)]


def delete_curves(db: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    """Delete the points and curves of jobs. Call inside a transaction."""
    for table in ("metrics", "curves"):
        db.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job_id,) for job_id in job_ids])
    for job_id in job_ids:
        refresh_values(db, job_id)


def moment_of(text: str) -> datetime | None:
    """Read `timestamp_text`'s form fast, and any other form."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_timestamp(text)
    return moment if moment.tzinfo else parse_timestamp(text)


def _written(timestamp: str) -> str:
    """The time in the form of `timestamp_text`, whose text order is time order."""
    moment = None if is_written(timestamp) else parse_timestamp(timestamp)
    return timestamp if moment is None else timestamp_text(moment)


def _points_json(points: Sequence[CurvePoint]) -> str:
    return _compact_json([[*p] if p.after_gap else p[:3] for p in points])


def _sparkline_json(curve: Sequence[CurvePoint]) -> str:
    return _compact_json([p.training_loss for p in downsample(curve, SPARKLINE_POINTS)])


def _compact_json(numbers: Sequence[object]) -> str:
    from pydantic_core import to_json  # late: `list` writes no curve

    return to_json(numbers, inf_nan_mode="constants").decode()
