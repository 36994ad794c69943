"""Reads a training run: its series, the second opinion on it, and the preview of a model.

While a million small objects are created, the garbage collector is paused: a full collection of so
many objects stops every thread for a quarter of a second, including the one that handles keys, and
frees nothing.
"""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.jobs import get_job, job_rows
from lora_tui.cache.live_curves import lacks_earlier, points_read_at
from lora_tui.cache.metrics import (
    first_point,
    get_curve,
    get_logged,
    get_points,
    last_validation,
)
from lora_tui.cache.models import get_model, model_of_job
from lora_tui.cache.own_marks import NO_MARKS, ShownMarks, get_marks
from lora_tui.cache.thinning import is_thinned
from lora_tui.cache.transfer_queue import Transfer, transfers_of
from lora_tui.cache.weights import get_weight_summary, weights_of_peers
from lora_tui.curves.series import Logged, Series, from_curve
from lora_tui.domain import CurvePoint, Job, MetricPoint, Model, StepLoss
from lora_tui.domain.job_statuses import RUNNING
from lora_tui.json_values import mapping, text_or_none
from lora_tui.opinion import (
    Comparison,
    Finding,
    Opinion,
    RunFacts,
    compare_with_rating,
    second_opinion,
    weight_findings,
)
from lora_tui.opinion.live import Rating, if_it_ended_now, live_warnings

_MOST_JUDGED: Final = 8_000
"""Of a longer run that still trains, only the last points are looked at for warnings."""
_MOST_POINTS: Final = 2_000
"""With more points an opinion takes longer than a key press may; the model's page shows it."""
_lock = threading.Lock()
_pauses = 0


@dataclass(frozen=True)
class Run:
    """The series of a run and the second opinion on it."""

    series: Series
    opinion: Opinion | None
    """None if nothing is cached."""


def get_run(db: sqlite3.Connection, job_id: str) -> Run:
    """Read a run; takes seconds for a million points."""
    with gc_paused():
        return _read(db, job_id)  # its temporary points are freed before the collector runs again


def get_opinion(db: sqlite3.Connection, job_id: str) -> Opinion | None:
    """The second opinion on a run; None if nothing is cached."""
    return _opinion(db, job_id, get_logged(db, job_id), model_of_job(db, job_id))


@dataclass(frozen=True)
class LiveJudgement:
    """What the points of a job so far tell."""

    opinion: Opinion | None
    """None if nothing is cached."""
    warnings: tuple[Finding, ...]
    """The most serious first; empty while nothing is wrong, and after the end of the job."""
    if_it_ended_now: Rating


def judge_live(
    db: sqlite3.Connection, job_id: str, *, opinion: Opinion | None = None
) -> LiveJudgement:
    """Judge a job that may still run, by its cached points; of a long run by the last ones.

    `opinion`: an earlier one to keep. A new one takes seconds for a million points.
    """
    found = get_job(db, job_id)
    with gc_paused():
        points = get_points(db, job_id, last=_MOST_JUDGED)
        first = first_point(db, job_id) if len(points) == _MOST_JUDGED else None
        rating = if_it_ended_now([*([first] if first else []), *points])
        if lacks_earlier(db, job_id):  # the first cached point is not the first of the run
            rating = Rating(None, "The earlier points are still to come.")
        return LiveJudgement(
            opinion or get_opinion(db, job_id),
            tuple(_warnings(db, found.job, points)) if found else (),
            rating,
        )


def warnings_of(db: sqlite3.Connection, job: Job) -> list[Finding]:
    """What is wrong with a job that runs, by its last cached points; the most serious first."""
    return _warnings(db, job, get_points(db, job.id, last=_MOST_JUDGED))


def _warnings(db: sqlite3.Connection, job: Job, points: Sequence[MetricPoint]) -> list[Finding]:
    if job.status not in RUNNING:
        return []
    (row,) = job_rows(db, [job.id], dataset_keys=("format",)) or [{}]
    facts = RunFacts.of_running_job(job, text_or_none(mapping(row.get("dataset")).get("format")))
    return live_warnings(points, runs=True, now=points_read_at(db), facts=facts)


def get_run_version(db: sqlite3.Connection, job_id: str) -> tuple[object, ...] | None:
    """A value that changes when points come; None if nothing is cached. A fast query."""
    sql = "SELECT total, last_timestamp, last_id, points_sum FROM curves WHERE job_id = ?"
    found = db.execute(sql, [job_id]).fetchone()
    return None if found is None else tuple(found)


@dataclass(frozen=True)
class Preview:
    """One model, its curve, the second opinion, and its files on this disk."""

    model: Model
    curve: tuple[CurvePoint, ...]
    opinion: Opinion | None
    comparison: Comparison | None
    validation: StepLoss | None
    """The last recorded validation loss."""
    transfers: tuple[Transfer, ...]
    directory: Path | None
    """The directory that has all files of the model."""
    marks: ShownMarks = NO_MARKS


def read_preview(db: sqlite3.Connection, model_id: str) -> Preview | None:
    """Read the preview; None if the model is not in the cache."""
    model = get_model(db, model_id)
    if model is None:
        return None
    curve = get_curve(db, model.job_id)
    opinion = _quick_opinion(db, model)
    is_validated = any(point.validation_loss is not None for point in curve)
    return Preview(
        model,
        curve,
        opinion,
        compare_with_rating(opinion, model.quality) if opinion else None,
        (last_validation(db, model.job_id) if is_validated else None)
        or model.training.last_validation,
        tuple(transfers_of(db, model_id)),
        downloaded_to(db, model_id),
        get_marks(db, model_id),
    )


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection; it resumes when the last pause of any thread ends."""
    global _pauses
    with _lock:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses:
                gc.enable()


def _read(db: sqlite3.Connection, job_id: str) -> Run:
    logged = get_logged(db, job_id)
    series = Series.from_logged(logged)
    if not len(series):
        series = Series.from_points(get_curve(db, job_id))
    return Run(series, _opinion(db, job_id, logged, model_of_job(db, job_id)))


def _quick_opinion(db: sqlite3.Connection, model: Model) -> Opinion | None:
    """The opinion that the model's page shows; None where computing it takes long."""
    counted = db.execute("SELECT total FROM curves WHERE job_id = ?", [model.job_id]).fetchone()
    if counted is None or counted[0] > _MOST_POINTS:
        return None
    return _opinion(db, model.job_id, get_logged(db, model.job_id), model)


def _opinion(
    db: sqlite3.Connection, job_id: str, logged: Sequence[Logged], model: Model | None
) -> Opinion | None:
    """Judge the points of a run, or where none are cached the curve that came with the model.

    None while its earlier points are still to come: the newest ones alone tell of no reduction.
    """
    if lacks_earlier(db, job_id):
        return None
    facts = RunFacts(is_rated=False) if model is None else RunFacts.of(model)
    weights = [] if model is None else _weight_findings(db, model)
    if logged:
        return second_opinion(
            logged, downsampled=is_thinned(db, job_id), facts=facts, others=weights
        )
    curve = get_curve(db, job_id)
    if not curve:
        return None
    training = model.training if model else None
    bad = [] if training is None or training.bad_from is None else [training.bad_from]
    if bad and training and (training.total_steps or 0) > bad[0]:
        bad.append(float(training.total_steps or 0))
    return second_opinion(
        from_curve(curve, bad_steps=bad),
        downsampled=not (training and training.curve_is_complete),
        facts=facts,
        others=weights,
    )


def _weight_findings(db: sqlite3.Connection, model: Model) -> list[Finding]:
    """Findings from the weights on this disk, else from the summary that came with the model."""
    summary = get_weight_summary(db, model.id) or model.weights
    if summary is None:
        return []
    base = model.hyperparameters.base_model
    peers = weights_of_peers(db, model.id, model.dataset_id, base) if base else []
    return weight_findings(summary, [peer for peer in peers if peer.rank == summary.rank])
