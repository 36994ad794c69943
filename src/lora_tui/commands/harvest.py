"""`lora-tui --harvest` runs the harvest; `lora-tui harvest` shows its state and retries jobs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_tui import clock, formats
from lora_tui.alerts.harvest_events import HarvestAlerts
from lora_tui.alerts.sender import HARVEST, sends
from lora_tui.commands.context import Context, similar
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import width_of
from lora_tui.errors import LoraTuiError, NotFoundError, PartlyFailedError, UsageError
from lora_tui.gateway.harvest_queue import failed_jobs
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.events import Event, as_json, describe
from lora_tui.harvest.harvester import connect, open_queue
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.ledger_schema import JobState, State
from lora_tui.harvest.loop import run_forever, run_once
from lora_tui.harvest.queue import Queue
from lora_tui.harvest.state_use import using_state
from lora_tui.json_values import json_text

if TYPE_CHECKING:
    from lora_tui.harvest.monitoring import HealthFile

_ORDER = (State.RUNNING, State.WAITING, State.FAILED, State.DEAD, State.DONE)


def run(context: Context) -> None:
    """Turn completed jobs into artifacts.

    Raises PartlyFailedError where a job failed, InUseError where others harvest with this state.
    """
    context.require_network()
    arguments = context.arguments
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    is_service = not (arguments.once or arguments.dry_run)
    with ExitStack() as stack:
        stack.enter_context(using_state(context.profile, service=is_service))
        harvester = stack.enter_context(closing(connect(context.profile)))
        if arguments.spool_limit:
            harvester = replace(harvester, budget=ByteBudget(arguments.spool_limit))
        if arguments.remove_deleted_after:
            harvester = replace(harvester, remove_deleted_after=arguments.remove_deleted_after)
        listeners: list[Callable[[Event], None]] = [_printer(context)]
        if arguments.health_file:
            health = _health_file(Path(arguments.health_file))
            harvester = replace(harvester, beat=health.beat)
            listeners.append(health.note)
        if arguments.metrics_port:
            from lora_tui.harvest.monitoring import serve_metrics

            metrics = stack.enter_context(closing(serve_metrics(arguments.metrics_port)))
            listeners.append(metrics.note)

        if sends(context.profile, HARVEST) and not arguments.dry_run:
            alerts = HarvestAlerts(context.profile, partial(failed_jobs, harvester.rest))
            listeners.append(stack.enter_context(closing(alerts)).note)

        def emit(event: Event) -> None:
            for listener in listeners:
                listener(event)

        if is_service:
            run_forever(
                harvester,
                interval=arguments.interval,
                limit=arguments.limit_jobs,
                concurrency=arguments.concurrency,
                emit=emit,
                stop=stop,
            )
            return
        result = run_once(
            harvester,
            limit=arguments.limit_jobs,
            concurrency=arguments.concurrency,
            dry_run=arguments.dry_run,
            emit=emit,
            stop=stop,
        )
    if result.failed:
        raise PartlyFailedError(
            f"{result.failed} of {result.failed + result.harvested} jobs failed",
            remedy="the reasons are above; `lora-tui harvest status` shows when they are retried",
        )
    if result.removals_failed:
        raise PartlyFailedError(
            "Files of deleted models could not be removed",
            remedy="the reasons are above; the next run tries again",
        )


def _health_file(path: Path) -> HealthFile:
    """The file of `--health-file`. Raises UsageError where it would overwrite something else."""
    from lora_tui.harvest.monitoring import HealthFile

    if path.exists() and not path.is_file():
        raise UsageError(
            "--health-file is not a regular file", details=str(path), remedy="choose another path"
        )
    return HealthFile(path)


def status(context: Context) -> None:
    """Print the finished jobs whose results are imported, by state, with reasons.

    Those of all machines where the project keeps the queue, else of this one.
    """
    with _ledger(context) as ledger, _queue(context, ledger):
        jobs = ledger.jobs()
    if context.json:
        context.print_data(
            {state.value: [_as_json(job) for job in _in_state(jobs, state)] for state in _ORDER}
        )
        return
    for state in _ORDER:
        found = _in_state(jobs, state)
        if found:
            context.out.write(f"{state.label} ({len(found)})\n")
            for job in found:
                context.out.writelines(f"{line}\n" for line in _job_lines(job, width_of(context)))
    if not jobs:
        context.say("No finished job was seen yet. Run `lora-tui --harvest --once`.")


def retry(context: Context) -> None:
    """Let the next cycle try failed jobs again. Raises NotFoundError, UsageError."""
    arguments = context.arguments
    if bool(arguments.job) == bool(arguments.all):
        raise UsageError("Name a job, or use --all", remedy="see `lora-tui harvest status`")
    with _ledger(context) as ledger, _queue(context, ledger) as queue:
        failed = [job for job in ledger.jobs() if job.state in (State.FAILED, State.DEAD)]
        chosen = failed if arguments.all else [_find_job(failed, name) for name in arguments.job]
        ids = [job.job_id for job in chosen]
        count = ledger.retry(ids) if queue is None else queue.retry(ids)
    if context.json:
        context.print_data({"retried": [job.job_id for job in chosen]})
        return
    context.say(f"The next cycle retries {formats.counted(count, 'job')}.")


def _printer(context: Context) -> Callable[[Event], None]:
    refused = False

    def emit(event: Event) -> None:
        nonlocal refused
        try:
            if context.json:
                context.out.write(json_text(as_json(event)) + "\n")
            else:
                context.out.write(describe(event) + "\n")
            context.out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:  # the log's disk is full: continue
            if not refused:
                refused = True
                context.say(f"WARNING: the events can't be printed: {error.strerror}")

    return emit


def _ledger(context: Context) -> closing[Ledger]:
    return closing(Ledger(ledger_path(context.profile)))


@contextmanager
def _queue(context: Context, ledger: Ledger) -> Iterator[Queue | None]:
    """The project's queue, copied into the ledger; None where it can't be asked."""
    if context.arguments.offline:
        yield None
        return
    with open_queue(context.profile, ledger) as queue:
        try:
            if queue is not None:
                queue.refresh()
        except LoraTuiError as error:
            context.say(f"Shown as this machine knew it last: {error}.")
        yield queue


def _find_job(jobs: list[JobState], name: str) -> JobState:
    """The job of an id, here or at the worker, or of a unique prefix of one."""
    exact = [job for job in jobs if name in (job.job_id, job.external_job_id)]
    found = exact or [
        job
        for job in jobs
        if job.job_id.startswith(name) or (name and job.external_job_id.startswith(name))
    ]
    if not found:
        from lora_tui.cache.near import nearest_ids

        ids = [job_id for job in jobs for job_id in (job.job_id, job.external_job_id)]
        raise NotFoundError(
            "There is no such failed job",
            details=similar(nearest_ids(name, ids)),
            remedy="see `lora-tui harvest status` for their ids",
        )
    if len(found) > 1:
        candidates = ", ".join(job.job_id for job in found[:10])
        raise UsageError(
            f"{len(found)} jobs match", details=candidates, remedy="give a longer part of the id"
        )
    return found[0]


def _in_state(jobs: Iterable[JobState], state: State) -> list[JobState]:
    return [job for job in jobs if job.state is state]


def _job_lines(job: JobState, width: int | None) -> list[str]:
    parts = [job.name or job.external_job_id]
    match job.state:
        case State.RUNNING:
            stored = sum(file.stored for file in job.files)
            parts.append(f"{stored} files stored" if job.files else f"by {_place(job.holder)}")
            parts += [
                f"{file.name} {formats.size(file.done)} of {formats.size(file.total)}"
                for file in job.files
                if not file.stored
            ]
        case State.FAILED | State.DEAD:
            parts.append(f"{job.reason} ({job.details})" if job.details else str(job.reason))
            if job.next_try is not None:
                parts.append(f"retried {_next_try_text(job)}")
            if job.remedy:
                parts.append(job.remedy)
        case State.DONE:
            parts.append(f"{formats.score(job.stars)} stars")
        case State.WAITING:
            parts.append(f"completed {formats.age(job.completed_at, clock.now())}")
    start = f"  {job.job_id[:8]}"
    return label_lines(start, "  ".join(parts), width, start=len(start) + 1)


def _place(holder: str) -> str:
    """The machine and process of a harvester, from its identity."""
    return "/".join(holder.split("/")[:2]) or "another harvester"


def _next_try_text(job: JobState) -> str:
    seconds = (job.next_try - clock.now()).total_seconds() if job.next_try else 0.0
    return f"in {formats.duration(seconds)}" if seconds > 0 else "in the next cycle"


def _as_json(job: JobState) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "external_job_id": job.external_job_id,
        "name": job.name,
        "completed_at": clock.timestamp_text(job.completed_at) if job.completed_at else None,
        "holder": job.holder or None,
        "attempts": job.attempts,
        "next_try": clock.timestamp_text(job.next_try) if job.next_try else None,
        "reason": job.reason,
        "details": job.details,
        "remedy": job.remedy,
        "artifact_id": job.artifact_id,
        "stars": job.stars,
        "files": [
            {"name": file.name, "done": file.done, "total": file.total, "stored": file.stored}
            for file in job.files
        ],
    }
