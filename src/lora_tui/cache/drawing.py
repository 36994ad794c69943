"""Draws the curve of a job from its stored points, and computes their checksum, in one reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from lora_tui.cache.stored_numbers import number_of
from lora_tui.cache.sums import checksum
from lora_tui.domain import CurvePoint, finite, usable_loss

VALUES: Final = (
    "step, epoch, training_loss, validation_loss, learning_rate, gradient_norm, throughput,"
    " gpu_utilization"
)
"""The columns of a point beside its job, time and id."""
DRAWN_WHOLE: Final = 100_000
"""With more points a curve is down-sampled while it is read, to bound the memory."""


class Drawing(NamedTuple):
    """What was drawn, and from which points."""

    curve: Sequence[CurvePoint]
    """The points that a chart can draw; of very many, the extremes of each group."""
    total: int
    points_sum: int
    """The checksum of the points."""
    last: tuple[str | None, str | None]
    """The timestamp and the id of the last point."""


def read_drawing(db: sqlite3.Connection, job_id: str) -> Drawing:
    """Draw the curve from all cached points of a job."""
    stretch = _stretch(db, job_id)
    points: list[CurvePoint] = []
    some: list[CurvePoint] = []
    gap = False
    total, points_sum, row = 0, 0, (None, None)
    for row in raw_points(db, job_id):
        points_sum = sum_with(points_sum, row)
        total += 1
        _, _, step, _, logged, validation, _, gradient, _, _ = row
        training = usable_loss(logged, number_of(gradient))
        if training is None:
            gap = bool(points or some)
            points += _extremes(some)  # no group reaches across a gap
            some = []
            continue
        at = total - 1.0 if step is None else step
        seen = None if validation is None else finite(number_of(validation))
        some.append(CurvePoint(at, training, seen, gap))
        gap = False
        if len(some) == stretch:
            points += _extremes(some)
            some = []
    return Drawing([*points, *_extremes(some)], total, points_sum, (row[0], row[1]))


def sum_of_points(db: sqlite3.Connection, job_id: str) -> tuple[int, int]:
    """The number of cached points of a job, and their checksum."""
    total, found = 0, 0
    for row in raw_points(db, job_id):
        total, found = total + 1, sum_with(found, row)
    return total, found


def sum_with(points_sum: int, row: Sequence[object]) -> int:
    """The checksum of points with one more: its timestamp, id and `VALUES`."""
    return (points_sum * 31 + checksum(row)) & 0xFFFFFFFF


def raw_points(
    db: sqlite3.Connection, job_id: str, after: tuple[str, str] | None = None
) -> sqlite3.Cursor:
    """The stored points, in order, of which the values are tuples: timestamp, id and `VALUES`.

    `after`: only those after this timestamp and id.
    """
    condition = "" if after is None else " AND (timestamp, id) > (?, ?)"
    cursor = db.cursor()
    cursor.row_factory = None  # plain tuples: they are faster
    return cursor.execute(
        f"SELECT timestamp, id, {VALUES} FROM metrics WHERE job_id = ?{condition}"
        " ORDER BY timestamp, id",
        [job_id, *(after or ())],
    )


def _stretch(db: sqlite3.Connection, job_id: str) -> int:
    """Of how many points the extremes are drawn; 1 where all are."""
    (total,) = db.execute("SELECT count(*) FROM metrics WHERE job_id = ?", [job_id]).fetchone()
    return 1 if total <= DRAWN_WHOLE else 3 * -(-total // DRAWN_WHOLE)


def _extremes(points: Sequence[CurvePoint]) -> Sequence[CurvePoint]:
    """Of a group: the minimum, the maximum, the last validated point, and one after a gap."""
    if len(points) < 3:
        return points
    places = range(len(points))
    chosen = {
        min(places, key=lambda place: points[place].training_loss),
        max(places, key=lambda place: points[place].training_loss),
        *[place for place in places if points[place].validation_loss is not None][-1:],
        *([0] if points[0].after_gap else []),
    }
    return [points[place] for place in sorted(chosen)]
