"""What the points of a run recorded, beside its curve, so that nobody reads points for a list.

Only runs that made a model have a row. It is computed when the curve or the model is written,
whichever comes later.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from lora_tui.cache.stored_numbers import number_of
from lora_tui.curves.series import from_curve
from lora_tui.domain import CurvePoint
from lora_tui.opinion import Validation
from lora_tui.opinion.recorded import Recorded, recorded

_COLUMNS: Final = (
    "job_id, last_validation, last_validation_step, best_validation, best_validation_step,"
    " ends_bad, last_step, of_curve"
)


def read_runs(db: sqlite3.Connection, job_ids: Iterable[str]) -> dict[str, Recorded]:
    """What the runs of these jobs recorded, without those of which nothing is cached.

    Computes and writes what is missing. Call inside a transaction.
    """
    chosen = json.dumps(sorted(filter(None, set(job_ids))))
    sql = f"SELECT {_COLUMNS} FROM run_values WHERE job_id IN (SELECT value FROM json_each(?))"
    found = {str(row[0]): _recorded(*tuple(row)[1:]) for row in db.execute(sql, [chosen])}
    drawn = db.execute(
        "SELECT job_id FROM curves WHERE job_id IN (SELECT value FROM json_each(?))", [chosen]
    )
    for (job_id,) in drawn.fetchall():
        if job_id not in found:
            run = _compute(db, job_id)
            if run is not None:
                put_run(db, job_id, run)
                found[job_id] = run
    return found


def put_run(db: sqlite3.Connection, job_id: str, run: Recorded) -> None:
    """Store what a run recorded. Call inside a transaction."""
    seen = run.validation
    values = (seen.last, seen.last_step, seen.best, seen.best_step) if seen else (None,) * 4
    db.execute(
        f"INSERT OR REPLACE INTO run_values ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [job_id, *values, int(run.ends_bad), run.last_step, int(run.of_curve)],
    )


def forget_runs(db: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    """Delete what the runs recorded, until it is computed again. Call inside a transaction."""
    db.executemany("DELETE FROM run_values WHERE job_id = ?", [(job_id,) for job_id in job_ids])


def recorded_in_curve(curve: Sequence[CurvePoint]) -> Recorded:
    """What the points of a drawn curve recorded."""
    points = from_curve(curve)
    found = recorded(
        [point.step for point in points],
        [point.training_loss for point in points],
        [point.validation_loss for point in points],
        [None] * len(points),
    )
    return found._replace(of_curve=True)


def _compute(db: sqlite3.Connection, job_id: str) -> Recorded | None:
    """From the points, else from the curve; None where earlier points are still to come.

    So the second opinion reads a run, too (runs.py).
    """
    sql = "SELECT lacks_earlier, points FROM curves WHERE job_id = ?"
    lacks_earlier, drawn = db.execute(sql, [job_id]).fetchone()
    if lacks_earlier == 1:
        return None
    cursor = db.cursor()
    cursor.row_factory = None  # plain tuples: they are faster
    points = cursor.execute(
        "SELECT step, training_loss, validation_loss, gradient_norm FROM metrics"
        " WHERE job_id = ? ORDER BY timestamp, id",
        [job_id],
    ).fetchall()
    if points:
        steps, losses, validations, gradients = zip(*points, strict=True)
        return recorded(steps, losses, [*map(number_of, validations)], [*map(number_of, gradients)])
    curve = [CurvePoint(*point) for point in json.loads(drawn)]
    return recorded_in_curve(curve) if curve else None


def _recorded(
    last: float | None,
    last_step: float | None,
    best: float | None,
    best_step: float | None,
    ends_bad: int,
    last_number: float | None,
    of_curve: int,
) -> Recorded:
    seen = None
    if last is not None and last_step is not None and best is not None and best_step is not None:
        seen = Validation(last, last_step, best, best_step)
    return Recorded(seen, bool(ends_bad), last_number, bool(of_curve))
