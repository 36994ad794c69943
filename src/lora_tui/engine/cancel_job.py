"""Cancels a training job at the GPU worker.

Only the worker is asked. The pipeline then writes the job's new status, and the next sync shows it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from lora_tui.cache.jobs import NOT_FOUND, get_job
from lora_tui.config.table import Profile
from lora_tui.domain import Job
from lora_tui.domain.job_statuses import ACTIVE
from lora_tui.errors import ConfigError, NotFoundError, UsageError
from lora_tui.gateway.gpu import (
    MalformedJobError,
    MalformedResultError,
    Worker,
    WorkerUnreachableError,
)
from lora_tui.text import terminal_safe

REQUESTED: Final = (
    "The GPU worker cancels the job. Its status changes here once the pipeline has written it."
)

_ASK_AGAIN: Final = "check the GPU worker and GPU_CLUSTER_API_URL, then cancel the job again"


def cancel_job(profile: Profile, db: sqlite3.Connection, job_id: str) -> str:
    """Cancel the job of this id; what happens next, in words. Nothing is written by us.

    Raises ConfigError without the worker's key, NotFoundError where the cache or the worker does
    not know the job, UsageError where it has ended, and what `Worker.cancel` raises.
    """
    found = get_job(db, job_id)
    if found is None:
        raise NotFoundError(NOT_FOUND, remedy="see `lora-tui jobs` for the ids")
    external_job_id = require_cancellable(found.job)
    if not profile.gpu_url or not profile.gpu_key:
        missing = "GPU_CLUSTER_API_KEY" if profile.gpu_url else "GPU_CLUSTER_API_URL"
        raise ConfigError(
            "To cancel a job, the address and the key of the GPU worker are needed",
            remedy=f"set {missing}, or cancel it in the web application",
        )
    with closing(Worker(profile.gpu_url, profile.gpu_key)) as worker:
        try:
            status = worker.cancel(external_job_id)
        except (WorkerUnreachableError, MalformedResultError) as error:
            if not isinstance(error, MalformedJobError):
                error.remedy = _ASK_AGAIN  # the harvest asks again by itself, this does not
            raise
    if status != "CANCELLED":
        raise UsageError(
            "The GPU worker did not cancel the job",
            details=f"its status there is {status}",
            remedy="run `lora-tui sync` for the status in the project",
        )
    return REQUESTED


def require_cancellable(job: Job) -> str:
    """The worker's id of a job that waits or runs. Raises UsageError for any other job."""
    if job.status == "cancelled":
        raise UsageError("This job was cancelled already", remedy="there is nothing to do")
    if job.status not in ACTIVE:
        raise UsageError(
            "Only a job that waits or runs can be cancelled",
            details=f"the status of this one is {terminal_safe(job.status, limit=20)}",
            remedy="`lora-tui jobs --status running,queued` lists those that can be",
        )
    if not job.external_job_id:
        raise UsageError(
            "This job has no id at the GPU worker yet",
            remedy="try again once it was submitted; run `lora-tui sync` for the newest state",
        )
    return job.external_job_id
