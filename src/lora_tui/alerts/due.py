"""Which events of the cache somebody should be told of. Reads only; nothing is sent here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from lora_tui import clock, formats
from lora_tui.alerts.alert import Alert, Kind, Project, event_id
from lora_tui.cache.costs import month_spending
from lora_tui.cache.jobs import get_job, running_jobs
from lora_tui.cache.metadata import get_sync_state
from lora_tui.cache.models import model_of_job
from lora_tui.cache.runs import warnings_of
from lora_tui.clock import timestamp_text
from lora_tui.domain import Job
from lora_tui.harvest.schedule import EXPIRING_SECONDS, RESULT_SECONDS, seconds_left
from lora_tui.opinion import Kind as Subject
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.domain import Model

_URGENT: Final = (Subject.NOT_A_NUMBER, Subject.DIVERGENCE, Subject.STALLED)
_GRACE: Final = timedelta(minutes=15)
"""After the worker has dropped a result, somebody who fetched it in time may still store it."""
_RESULT_KEPT: Final = timedelta(seconds=RESULT_SECONDS) + _GRACE
_MOST_OF_A_KIND: Final = 200
"""Events of one round."""


def due_alerts(
    db: sqlite3.Connection, project: Project, *, since: datetime, now: datetime, limit: float | None
) -> Iterator[Alert]:
    """The events from `since` on, the oldest of each kind first. `limit`: US dollars a month."""
    synced_at = get_sync_state(db).last_success
    for job in _ended(db, min(since, now - _RESULT_KEPT)):
        is_new = job.completed_at is not None and job.completed_at >= since
        if job.status == "failed":
            if is_new:
                yield failed(job, project, now)
        elif job.external_job_id:  # else it was pushed, not trained
            model = model_of_job(db, job.id)
            if model is not None:
                if is_new:
                    yield _finished(job, model, project, now)
            elif job.artifact_id is None:
                yield from _of_result(job, project, now, since, synced_at)
    yield from _warnings(db, project, now)
    if limit is not None:
        yield from _spending(db, project, limit, now)


def failed(job: Job, project: Project, now: datetime) -> Alert:
    """A run that failed, with its reason."""
    reason = job.error_message or "no reason was given"
    return Alert(
        event_id=event_id(project, Kind.FAILED, job.id, _end(job)),
        kind=Kind.FAILED,
        title=f"Training failed: {name_of(job)}",
        message=reason,
        at=job.completed_at or now,
        project=project.name,
        job_id=job.id,
        details={"error_message": reason, "step": job.current_step, "cost": job.cost},
    )


def lost(job_id: str, name: str, reason: str, project: Project, now: datetime) -> Alert:
    """A result that nobody gets any more. `name`: of the run."""
    return Alert(
        event_id=event_id(project, Kind.LOST, job_id),
        kind=Kind.LOST,
        title=f"Result lost: {name}",
        message=terminal_safe(reason),
        at=now,
        project=project.name,
        job_id=job_id,
        unless=event_id(project, Kind.FINISHED, job_id),  # somebody has deleted the model since
    )


def seconds_to_next(db: sqlite3.Connection, now: datetime) -> float | None:
    """Until the next result is about to be lost, or lost; None where none is at the worker."""
    found = []
    for job in _ended(db, now - _RESULT_KEPT):
        if job.status == "completed" and job.external_job_id and job.artifact_id is None:
            left = seconds_left(job.completed_at, now) or 0.0
            found += [left - EXPIRING_SECONDS, left + _GRACE.total_seconds()]
    return min((seconds for seconds in found if seconds > 0), default=None)


def minutes(seconds: float) -> str:
    """A time that is left, rounded down."""
    return f"{max(0, int(seconds // 60))} min"


def name_of(job: Job) -> str:
    """What people call a job: its dataset, with the beginning of its id."""
    return terminal_safe(f"{job.dataset_name or 'a run'} ({job.id[:8]})", limit=120)


def _ended(db: sqlite3.Connection, since: datetime) -> list[Job]:
    """Jobs that ended from `since` on, also in the future of this machine's clock.

    Of very many the newest: the others were told when they were that.
    """
    rows = db.execute(
        "SELECT id FROM jobs WHERE status IN ('completed', 'failed') AND completed_at >= ?"
        " ORDER BY completed_at DESC, id DESC LIMIT ?",
        [timestamp_text(since), 5 * _MOST_OF_A_KIND],
    ).fetchall()
    found = (get_job(db, str(row[0])) for row in reversed(rows))
    return [summary.job for summary in found if summary is not None]


def _finished(job: Job, model: Model, project: Project, now: datetime) -> Alert:
    stars = model.quality.stars
    return Alert(
        event_id=event_id(project, Kind.FINISHED, job.id),
        kind=Kind.FINISHED,
        title=f"Training finished: {name_of(job)}",
        message=f"{terminal_safe(model.name, limit=200)}: {formats.score(stars)} stars",
        at=model.created_at or now,
        project=project.name,
        job_id=job.id,
        model_id=model.id,
        details={"stars": stars, "training_loss": job.training_loss, "cost": job.cost},
    )


def _of_result(
    job: Job, project: Project, now: datetime, since: datetime, synced_at: datetime | None
) -> Iterator[Alert]:
    """What a completed job without a model is in: its result is about to be lost, or it is lost.

    It counts as lost only where a sync has looked after that.
    """
    left = seconds_left(job.completed_at, now)
    if left is None or job.completed_at is None:
        return
    lost_at = job.completed_at + _RESULT_KEPT
    if 0 < left <= EXPIRING_SECONDS:
        yield Alert(
            event_id=event_id(project, Kind.EXPIRING, job.id),
            kind=Kind.EXPIRING,
            title=f"Result about to be lost: {name_of(job)}",
            message=f"It expires at the GPU worker in {minutes(left)}. Start the harvest.",
            at=now,
            project=project.name,
            job_id=job.id,
            details={"seconds_left": round(left)},
        )
    elif since <= lost_at <= now and synced_at is not None and synced_at >= lost_at:
        yield lost(
            job.id,
            name_of(job),
            "No model was made of it while the GPU worker kept it",
            project,
            now,
        )


def _warnings(db: sqlite3.Connection, project: Project, now: datetime) -> Iterator[Alert]:
    """What is wrong with runs that have not ended: one event for each kind of warning and run."""
    for job_id in running_jobs(db)[:_MOST_OF_A_KIND]:
        summary = get_job(db, job_id)
        if summary is None:
            continue
        job = summary.job
        for finding in warnings_of(db, job):
            if finding.kind in _URGENT:
                yield Alert(
                    event_id=event_id(project, Kind.WARNING, job.id, finding.kind, job.retries),
                    kind=Kind.WARNING,
                    title=f"Run in trouble: {name_of(job)}",
                    message=finding.sentence,
                    at=now,
                    project=project.name,
                    job_id=job.id,
                    details={"warning": finding.kind.value, "step": finding.step},
                )


def _spending(
    db: sqlite3.Connection, project: Project, limit: float, now: datetime
) -> Iterator[Alert]:
    """At most one a month and limit. The sum is that of `lora-tui costs` for the month."""
    spent = month_spending(db, now)
    if spent <= limit:
        return
    month = f"{clock.month_start(now):%Y-%m}"
    yield Alert(
        event_id=event_id(project, Kind.SPENDING, month, f"{limit:g}"),
        kind=Kind.SPENDING,
        title=f"Spending beyond the limit in {month}",
        message=f"{formats.money(spent)} this month, running jobs included; the limit is"
        f" {formats.money(limit)}.",
        at=now,
        project=project.name,
        details={"month": month, "spent": round(spent, 2), "limit": limit},
    )


def _end(job: Job) -> str:
    """A job that is tried again may end a second time, which is another event."""
    return timestamp_text(job.completed_at) if job.completed_at else ""
