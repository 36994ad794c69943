"""Cancels a training job, after a question. The job's screens call `ask_to_cancel`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lora_tui import formats
from lora_tui.domain.job_statuses import ACTIVE
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.domain import Job
    from lora_tui.tui.cache_app import CacheApp


def can_cancel(job: Job | None) -> bool:
    """Whether the key is offered for this job: it waits or runs."""
    return job is not None and job.status in ACTIVE and bool(job.external_job_id)


def ask_to_cancel(app: CacheApp, job: Job) -> None:
    """Ask whether to cancel a job; then ask the engine, and tell what happens next."""

    def cancelled(message: str) -> None:
        app.notify(message, title="Cancelling")
        app.sync(asked_for=False)

    def answered(wanted: bool | None) -> None:
        if wanted:
            app.start(
                partial(app.writers.cancel_job, job.id),
                cancelled,
                failed=lambda error: app.show_error(error, title="Not cancelled"),
                name="cancel a job",
            )

    app.push_screen(ConfirmScreen("Cancel the job", question_of(job)), answered)


def question_of(job: Job) -> str:
    """The question, with what is lost."""
    name = terminal_safe(job.dataset_name or job.id[:8], limit=60)
    if job.status == "queued":
        return f"Cancel the waiting job on {name}?"
    steps = "" if job.current_step is None else f" at step {formats.count(job.current_step)}"
    return f"Stop the run on {name}{steps}? It makes no model, and its costs so far stay."
