"""Reads all metrics of a run as columns: the whole run, or the points that were added since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui.cache.jobs import get_job
from lora_tui.cache.metrics import get_curve, moment_of
from lora_tui.cache.runs import gc_paused
from lora_tui.cache.stored_numbers import number_of
from lora_tui.curves.metrics_series import TRAINING, VALIDATION, MetricRun
from lora_tui.curves.series import Logged, Series, from_curve

_OTHER: Final = frozenset({"job_id", "timestamp", "id", "step", "epoch"})
_AT_ONCE: Final = 20_000
_FIRST_POINTS: Final = 200


class Position(NamedTuple):
    """How far a run has been read."""

    timestamp: str
    """Of the last point, as the cache has it."""
    id: str
    start: datetime | None
    """The time of the first point."""


class ReadRun(NamedTuple):
    """A run that was read as a whole."""

    run: MetricRun
    position: Position | None
    """None where nothing can be added: no points are cached, at most a reduced curve."""


class Totals(NamedTuple):
    """Steps and epochs of a whole run; None if unknown."""

    steps: float | None
    epochs: float | None


class Points(NamedTuple):
    """Points in the columns that `MetricRun.add` takes."""

    steps: Sequence[float | None]
    epochs: Sequence[float | None]
    seconds: Sequence[float | None]
    values: dict[str, Sequence[float | None]]
    position: Position


class LoggedPoint(NamedTuple):
    """One point, with its values in the order of the columns."""

    timestamp: str | None
    step: float | None
    epoch: float | None
    values: Sequence[float | None]
    """None where nothing was logged, NaN and infinite where that was."""


def logged_points(
    db: sqlite3.Connection, job_id: str, columns: Sequence[str]
) -> Iterator[LoggedPoint]:
    """All cached points of a job, in order."""
    sql = f"SELECT timestamp, step, epoch, {_quoted(columns)} FROM metrics WHERE job_id = ?"
    for timestamp, step, epoch, *values in db.execute(f"{sql} ORDER BY timestamp, id", [job_id]):
        yield LoggedPoint(timestamp, step, epoch, [number_of(value) for value in values])


def metric_columns(db: sqlite3.Connection) -> list[str]:
    """The names of the metrics that this cache keeps of each point."""
    found = db.execute("SELECT name, type FROM pragma_table_info('metrics')").fetchall()
    return [name for name, kind in found if name not in _OTHER and kind == "REAL"]


def read_metrics(db: sqlite3.Connection, job_id: str) -> ReadRun:
    """Read a run; without points its reduced curve. Takes seconds for a million points."""
    columns = metric_columns(db)
    run = _empty_run(db, columns, job_id)
    position: Position | None = None
    with gc_paused():
        for points in _points(db, columns, job_id, None):
            run.add(points.steps, points.epochs, points.seconds, points.values)
            position = points.position
    if position is None:
        return ReadRun(read_reduced(db, job_id), None)
    return ReadRun(run, position)


def read_reduced(db: sqlite3.Connection, job_id: str) -> MetricRun:
    """The losses of the reduced curve, which is read at once; empty if it is not cached."""
    run = _empty_run(db, metric_columns(db), job_id)
    curve = from_curve(get_curve(db, job_id))
    none = [None] * len(curve)
    losses: dict[str, Sequence[float | None]] = {
        TRAINING: [point.training_loss for point in curve],
        VALIDATION: [point.validation_loss for point in curve],
    }
    run.add([point.step for point in curve], none, none, losses)
    return run


def totals_of(db: sqlite3.Connection, job_id: str) -> Totals:
    """How long the run of a job is to be; it may become known, or change, while it runs."""
    found = get_job(db, job_id)
    if found is None:
        return Totals(None, None)
    job = found.job
    return Totals(job.total_steps, job.total_epochs or job.hyperparameters.epochs)


def _empty_run(db: sqlite3.Connection, columns: Sequence[str], job_id: str) -> MetricRun:
    steps, epochs = totals_of(db, job_id)
    return MetricRun(columns, total_steps=steps, total_epochs=epochs)


def read_newer(
    db: sqlite3.Connection, job_id: str, position: Position, known: int
) -> list[Points] | None:
    """Read the points after `position`; None where earlier ones came or went: then read all.

    `known`: how many points were read so far.
    """
    found = list(_points(db, metric_columns(db), job_id, position))
    (total,) = db.execute("SELECT count(*) FROM metrics WHERE job_id = ?", [job_id]).fetchone()
    return found if total == known + sum(len(points.steps) for points in found) else None


def logged_columns(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[str]:
    """The metrics that some of these runs logged at one of their first points."""
    columns = metric_columns(db)
    tests = ", ".join(f"max({name} IS NOT NULL)" for name in map(_quoted_one, columns))
    sql = (
        f"SELECT {tests} FROM (SELECT * FROM metrics WHERE job_id = ?"
        f" ORDER BY timestamp, id LIMIT {_FIRST_POINTS})"
    )
    found = [db.execute(sql, [job_id]).fetchone() for job_id in job_ids]
    return [name for at, name in enumerate(columns) if any(row[at] for row in found)]


def read_metric(db: sqlite3.Connection, job_id: str, column: str) -> Series:
    """One metric of a run, as the training loss of a series. Raises ValueError for no metric."""
    if column not in metric_columns(db):
        raise ValueError(column)
    name = _quoted_one(column)
    sql = (
        f"SELECT step, {name} FROM metrics WHERE job_id = ? AND {name} IS NOT NULL"
        " ORDER BY timestamp, id"
    )
    with gc_paused():
        return Series.from_logged(
            [Logged(step, number_of(value), None) for step, value in db.execute(sql, [job_id])]
        )


def _points(
    db: sqlite3.Connection, columns: Sequence[str], job_id: str, after: Position | None
) -> Iterator[Points]:
    """The points in order, many at once."""
    sql = f"SELECT timestamp, id, step, epoch, {_quoted(columns)} FROM metrics WHERE job_id = ?"
    values: list[object] = [job_id]
    if after is not None:
        sql += " AND (timestamp, id) > (?, ?)"
        values += [after.timestamp, after.id]
    found = db.execute(f"{sql} ORDER BY timestamp, id", values)
    start = after.start if after is not None else None
    while rows := found.fetchmany(_AT_ONCE):
        times, ids, steps, epochs, *metrics = zip(*rows, strict=True)
        moments = [moment_of(text) for text in times]
        start = start or moments[0]
        seconds = [
            None if start is None or moment is None else (moment - start).total_seconds()
            for moment in moments
        ]
        yield Points(
            steps,
            epochs,
            seconds,
            {name: _numbers(column) for name, column in zip(columns, metrics, strict=True)},
            Position(times[-1], ids[-1], start),
        )


def _numbers(column: Sequence[float | str | None]) -> Sequence[float | None]:
    """The numbers of a column, in which the cache writes NaN as text."""
    if not any(type(value) is str for value in column):
        return column  # type: ignore[return-value]
    return [number_of(value) for value in column]


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(map(_quoted_one, columns))


def _quoted_one(column: str) -> str:
    return f'"{column}"'
