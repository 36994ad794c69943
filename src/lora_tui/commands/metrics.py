"""The command `metrics`: every logged metric of a run, as a table or as data."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.cache import models
from lora_tui.cache.jobs import find_jobs
from lora_tui.cache.metric_columns import LoggedPoint, logged_points, metric_columns, read_metrics
from lora_tui.cache.thinning import thinned_points
from lora_tui.commands.context import Context, ambiguous, refuse_alias, similar
from lora_tui.commands.style import style_of, table_width_of, width_of
from lora_tui.commands.table import Column, table_lines
from lora_tui.curves.metrics_series import MetricRun, Track, label_of
from lora_tui.domain import Job
from lora_tui.errors import LoraTuiError, NotFoundError
from lora_tui.json_values import json_text
from lora_tui.reports.exports import escape_formula
from lora_tui.text import cell_width, fit, fit_ends
from lora_tui.widgets.charts.metric_text import metric_text
from lora_tui.widgets.charts.sparkline import sparkline

_NOT_FOUND: Final = "Job or model not found or access denied"
_MOST_SPARKLINE: Final = 60
_LEAST_SPARKLINE: Final = 8
_COLUMNS: Final = (
    Column("METRIC", 100, least=8),
    Column("FIRST", 70, right=True),
    Column("LAST", 90, right=True),
    Column("BEST", 80, right=True),
    Column("MIN", 60, right=True),
    Column("MAX", 50, right=True),
)
_LOWEST_IS_BEST: Final = ("training_loss", "validation_loss")
_HIGHEST_IS_BEST: Final = ("throughput", "gpu_utilization")


class _Target(NamedTuple):
    """The run that was asked for."""

    job_id: str
    model_id: str | None
    name: str
    id: str
    """Of the job or of the model, whichever was named."""


def metrics(context: Context) -> None:
    """Print the metrics of a run; without --offline, after its new points were fetched."""
    with context.cache() as db:
        target = _resolve(db, context.arguments.model)
    failure = None if context.arguments.offline else _fetch(context, target.job_id)
    with context.cache() as db:
        found = read_metrics(db, target.job_id)
        if not len(found.run) and failure is not None:
            raise failure
        columns = metric_columns(db)
        points = (
            logged_points(db, target.job_id, columns)
            if found.position is not None
            else _of_curve(found.run, columns)
        )
        if context.json:
            logged = [_as_object(point, columns) for point in points]
            context.print_data(
                {"job_id": target.job_id, "model_id": target.model_id, "points": logged}
            )
        elif context.arguments.jsonl:
            for point in points:
                context.out.write(json_text(_as_object(point, columns)) + "\n")
        elif context.arguments.csv:
            _print_csv(context, points, columns)
        else:
            _print_table(context, target, found.run)
        thinned = thinned_points(db, target.job_id)
    if thinned is not None:
        kept, total = map(formats.count, thinned)
        context.say(
            f"Of this old run {kept} of {total} points are kept; without --offline all come."
        )
    for remark in _remarks(
        found.run, failure, is_reduced=found.position is None, offline=context.arguments.offline
    ):
        context.say(remark)


def _resolve(db: sqlite3.Connection, reference: str) -> _Target:
    """The run of a job or a model. Raises NotFoundError, UsageError with the candidates."""
    found: dict[str, _Target] = {}
    for summary in find_jobs(db, reference):
        job = summary.job
        found[job.id] = _Target(job.id, job.artifact_id, _job_name(job), job.id)
    for listed in models.find_models(db, reference):
        model = models.get_model(db, listed.id)
        if model is not None and model.job_id:
            found[model.job_id] = _Target(model.job_id, model.id, model.name, model.id)
    if not found:
        refuse_alias(db, reference)
        from lora_tui.cache.near import MOST_NEAR, near_jobs, near_models

        near = [*near_models(db, reference), *near_jobs(db, reference)][:MOST_NEAR]
        raise NotFoundError(
            _NOT_FOUND,
            details=similar(near),
            remedy="run `lora-tui list` to see the models, or `lora-tui sync` if it is new",
        )
    if len(found) > 1:
        raise ambiguous("runs", [f"{one.id} ({one.name})" for one in found.values()])
    return next(iter(found.values()))


def _job_name(job: Job) -> str:
    return f"{job.dataset_name or 'Training job'}, {job.status}"


def _fetch(context: Context, job_id: str) -> LoraTuiError | None:
    """Fetch the new points; the error where that fails, as the cache may still answer."""
    from lora_tui.engine.online import OnlineWriters

    try:
        context.require_network()
        with closing(OnlineWriters(context.profile)) as online:
            online.load_curve(job_id)
    except LoraTuiError as error:
        return error
    return None


def _as_object(point: LoggedPoint, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "timestamp": point.timestamp,
        "step": point.step,
        "epoch": point.epoch,
        **dict(zip(columns, point.values, strict=True)),
    }


def _of_curve(run: MetricRun, columns: Sequence[str]) -> Iterator[LoggedPoint]:
    """The points of the reduced curve, which has no times."""
    for number in range(len(run)):
        values = []
        for column in columns:
            track = run.tracks[column]
            place = track.place_at(number)
            has_it = place is not None and track.numbers[place] == number
            values.append(track.values[place] if place is not None and has_it else None)
        yield LoggedPoint(None, run.steps[number], None, values)


def _print_csv(context: Context, points: Iterator[LoggedPoint], columns: Sequence[str]) -> None:
    writer = csv.writer(context.out, lineterminator="\n")
    writer.writerow(("timestamp", "step", "epoch", *columns))
    for point in points:
        values = (point.timestamp, point.step, point.epoch, *point.values)
        writer.writerow([escape_formula(value) for value in values])


def _print_table(context: Context, target: _Target, run: MetricRun) -> None:
    """A line for each metric, with a sparkline in the room that is left."""
    tracks = [(name, track) for name, track in run.tracks.items() if len(track) or track.bad]
    if not tracks:
        return
    points = formats.counted(len(run), "point")
    steps = ""
    if len(run):
        steps = f", steps {formats.step(min(run.steps))} to {formats.step(max(run.steps))}"
    width, style = width_of(context), style_of(context)
    title = [f"{target.job_id[:8]}  {target.name}", f"{points}{steps}"]
    if width is not None:
        title = [fit_ends(line, width).rstrip() for line in title]
    lines = table_lines(
        _COLUMNS, [_row(name, track, run) for name, track in tracks], table_width_of(context)
    )
    longest = max(map(cell_width, lines))
    room = 0 if width is None else min(_MOST_SPARKLINE, width - longest - 2)
    if style.bars and room > 0:
        drawn = ["", *(_line(track, room, ascii_only=style.ascii_only) for _, track in tracks)]
        lines = [
            f"{fit(line, longest)}  {curve}".rstrip()
            for line, curve in zip(lines, drawn, strict=True)
        ]
    context.out.writelines(f"{line}\n" for line in (*title, "", *lines))


def _row(name: str, track: Track, run: MetricRun) -> tuple[str, ...]:
    if not len(track):
        return (label_of(name), *("NaN",) * 2, *(formats.NO_VALUE,) * 3)
    low, high = min(track.values), max(track.values)
    best = formats.NO_VALUE
    if name in _LOWEST_IS_BEST or name in _HIGHEST_IS_BEST:
        value = low if name in _LOWEST_IS_BEST else high
        step = run.steps[track.numbers[track.values.index(value)]]
        best = f"{metric_text(name, value)} at {formats.step(step)}"
    last = "NaN" if track.ends_bad else metric_text(name, track.values[-1])
    shown = (metric_text(name, track.values[0]), last, best)
    return (label_of(name), *shown, metric_text(name, low), metric_text(name, high))


def _line(track: Track, room: int, *, ascii_only: bool) -> str:
    if room < _LEAST_SPARKLINE or not len(track):
        return ""
    places = track.decimate(range(len(track)), 4 * room)
    return sparkline(tuple(track.values[place] for place in places), room, ascii_only=ascii_only)


def _remarks(
    run: MetricRun, failure: LoraTuiError | None, *, is_reduced: bool, offline: bool
) -> Iterator[str]:
    if failure is not None:
        remedy = failure.remedy or ""
        yield f"lora-tui: New points can't be fetched: {failure}. These are the cached ones." + (
            f" {remedy[:1].upper()}{remedy[1:]}." if remedy else ""
        )
    if not len(run) and offline:
        yield "No points of this run are cached; leave out --offline to fetch them."
    elif not len(run):
        yield "No metric points were logged for this run."
    elif is_reduced:
        yield "This is the reduced curve that came with the model; its points are not stored."
    bad = sum(track.bad for track in run.tracks.values())
    if bad:
        yield f"{formats.counted(bad, 'value')} {'is' if bad == 1 else 'are'} NaN or infinite."
