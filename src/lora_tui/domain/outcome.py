"""What every list and page tells of a job: why it failed, how often it was begun, how old it is."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from lora_tui.domain.job_statuses import ACTIVE, QUEUED, RUNNING
from lora_tui.domain.rows import Job

NO_REASON: Final = "no reason was recorded"
_NOT_FAILED: Final = frozenset({*ACTIVE, "completed"})


def attempts_of(job: Job) -> int | None:
    """How often the job was begun; None if unknown."""
    if job.retries is None or job.retries < 0:
        return None
    return job.retries + (0 if job.status in QUEUED else 1)


def age_begins(job: Job) -> datetime | None:
    """From when on the age of a job counts: its end, while it runs its start, else its queueing."""
    queued = job.queued_at or job.created_at
    if job.status in QUEUED:
        return queued
    if job.status in RUNNING:
        return job.started_at or queued
    return job.completed_at or job.updated_at or job.created_at


def reason_of(job: Job) -> str:
    """Why a job failed or was cancelled, in one line; empty if it was not, or nothing is known.

    A job that is tried again may still have the reason of the attempt before.
    """
    if job.status in _NOT_FAILED:
        return ""
    reason = " ".join((job.error_message or "").split())
    return reason or (NO_REASON if job.status == "failed" else "")
