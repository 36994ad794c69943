"""`jobs cancel` asks the GPU worker to stop a job that waits or runs."""

from __future__ import annotations

from lora_tui.commands.context import Context, resolve_job


def cancel(context: Context) -> None:
    """Cancel one job at the worker; the pipeline writes its status."""
    context.require_network()
    from lora_tui.engine.cancel_job import cancel_job  # late: it loads httpx

    with context.cache() as db:
        job = resolve_job(db, context.arguments.job).job
        what_next = cancel_job(context.profile, db, job.id)
    if context.json:
        context.print_data({"job_id": job.id, "external_job_id": job.external_job_id})
        return
    context.say(what_next)
