"""`jobs`: the training jobs, from the cache alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.cache import jobs, metadata
from lora_tui.cache.facets import job_facets
from lora_tui.cache.job_query import JobQuery, JobSort
from lora_tui.cache.jobs import JobList, JobSummary
from lora_tui.cache.recent_steps import recent_steps
from lora_tui.commands import job_columns
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.dates import period_of_options
from lora_tui.commands.job_columns import JobColumn, JobLine
from lora_tui.commands.style import Style, style_of, table_width_of, width_of
from lora_tui.commands.table import table_lines
from lora_tui.domain import attempts_of, progress_of, reason_of
from lora_tui.domain.job_statuses import ACTIVE, ENDED, RUNNING, STATUSES
from lora_tui.errors import UsageError

_GROUPS: Final = {
    "active": {*ACTIVE},
    "ended": {*ENDED},
}
"""What `--status` takes beside the statuses themselves."""


def list_jobs(context: Context) -> None:
    """Print the first jobs of the list, or follow them."""
    arguments = context.arguments
    columns = _columns(context)
    if columns is None:
        return
    if arguments.watch is not None:
        from lora_tui.commands.job_watch import watch

        watch(context, columns)
        return
    with context.cache() as db:
        found = JobList(db, query_of(context, db))
        summaries = found.window(0, arguments.limit)
        now = clock.now()
        lines = job_lines(db, summaries, now)
        rows = jobs.job_rows(db, [line.job.id for line in lines]) if context.json else []
        running, queued = jobs.count_active(db)
        state = metadata.get_sync_state(db)
        if state.rebuilt:
            context.say(CACHE_REBUILT)
    if context.json:
        data = [as_data(row, line) for row, line in zip(rows, lines, strict=True)]
        context.print_data({"jobs": data, "total": found.total})
        return
    if arguments.csv:
        _print_csv(context, lines)
        return
    context.out.writelines(
        f"{line}\n" for line in text_of(context, lines, columns, style_of(context))
    )
    if state.last_success is not None or not state.rebuilt:
        context.say(
            remark(len(lines), found.total, (running, queued), synced=state.last_success, now=now)
        )


def query_of(context: Context, db: sqlite3.Connection) -> JobQuery:
    """The query of the options. Raises UsageError."""
    arguments = context.arguments
    created_from, created_before = period_of_options(arguments.since, arguments.until)
    return JobQuery(
        sort=JobSort(arguments.sort),
        reverse=arguments.reverse,
        search=arguments.search or "",
        statuses=_statuses(arguments.status, db),
        dataset=arguments.dataset or "",
        preset=arguments.preset or "",
        base_model=arguments.base_model or "",
        gpu=arguments.gpu or "",
        created_from=created_from,
        created_before=created_before,
    )


def job_lines(
    db: sqlite3.Connection, summaries: Iterable[JobSummary], now: datetime
) -> list[JobLine]:
    """The jobs with how far they are."""
    return [
        JobLine(
            summary.job,
            progress_of(
                summary.job,
                now,
                recent_steps(db, summary.job.id) if summary.job.status in RUNNING else (),
            ),
            summary.sparkline,
            now,
        )
        for summary in summaries
    ]


def text_of(
    context: Context, lines: Sequence[JobLine], columns: Sequence[JobColumn], style: Style
) -> list[str]:
    """The table, as wide as the terminal, or as its texts where stdout is none."""
    width = table_width_of(context)
    style = style._replace(width=width_of(context))
    table, rows = job_columns.filled_columns(columns, lines, style)
    return table_lines(table, rows, width)


def remark(
    shown: int,
    total: int,
    active: tuple[int, int],
    *,
    synced: datetime | None,
    now: datetime,
) -> str:
    """How many jobs there are, how many of all run and wait, and how old the cache is."""
    if synced is None and not total:
        return "The cache was never synced: run `lora-tui sync`."
    parts = [
        f"{formats.count(shown)} of {formats.counted(total, 'job')}"
        if total
        else "No matching jobs"
    ]
    running, queued = active
    if running or queued:
        parts.append(f"{formats.count(running)} running, {formats.count(queued)} queued")
    parts.append(f"synced {formats.age(synced, now)}")
    return "; ".join(parts)


def as_data(row: dict[str, Any], line: JobLine) -> dict[str, Any]:
    """The backend's row, with `run_progress`: what is computed from it and its points."""
    job, progress = line.job, line.progress
    return {
        **row,
        "run_progress": {
            "share": progress.share,
            "step": progress.step,
            "total_steps": progress.total_steps,
            "elapsed_seconds": progress.elapsed,
            "seconds_left": progress.left,
            "steps_per_second": progress.pace,
            "cost_so_far": progress.cost,
            "cost_is_computed": progress.cost_is_computed,
            "estimated_cost": job_columns.estimated_cost(job, progress),
            "training_loss": job.training_loss,
            "validation_loss": job.validation_loss,
        },
    }


def _columns(context: Context) -> tuple[JobColumn, ...] | None:
    """The columns to show; None where `--columns help` printed them instead."""
    names = context.arguments.columns
    if names is None or names.strip().lower() != "help":
        if names is not None and (context.json or context.arguments.csv):
            form = "--json" if context.json else "--csv"
            raise UsageError(
                f"--columns is for the table, and {form} has all columns",
                remedy=f"leave out --columns or {form}",
            )
        return job_columns.chosen_columns(names)
    if context.json:
        context.print_data({"columns": [column.name for column in job_columns.COLUMNS]})
    else:
        context.out.writelines(f"{column.name}\n" for column in job_columns.COLUMNS)
    return None


def _statuses(text: str | None, db: sqlite3.Connection) -> frozenset[str]:
    """Those that are named, also one that only the backend knows. Raises UsageError."""
    if text is None:
        return frozenset()
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    there = [status for status in job_facets(db).statuses if status and status not in STATUSES]
    choices = f"choose from {', '.join((*STATUSES, *sorted(there), *_GROUPS))}"
    if not names:
        raise UsageError("No status is named", remedy=choices)
    known = {status: {status} for status in STATUSES} | _GROUPS
    for status in there:
        known[status.lower()] = {*known.get(status.lower(), ()), status}
    unknown = names - set(known)
    if unknown:
        raise UsageError(f"There is no status {sorted(unknown)[0]!r}", remedy=choices)
    return frozenset().union(*(known[name] for name in names))


def _print_csv(context: Context, lines: Iterable[JobLine]) -> None:
    from lora_tui.reports.exports import csv_table

    names = (
        "id", "status", "stage", "dataset", "preset", "base_model", "gpu", "gpus", "attempts",
        "share", "step", "total_steps", "epoch", "total_epochs", "training_loss",
        "validation_loss", "created_at", "started_at", "completed_at", "elapsed_seconds",
        "seconds_left", "cost_so_far", "cost_is_computed", "estimated_cost", "model_id", "reason",
    )  # fmt: skip
    context.out.write(csv_table(names, [_csv_row(line) for line in lines]))


def _csv_row(line: JobLine) -> tuple[Any, ...]:
    job, progress = line.job, line.progress
    moments = (job.queued_at or job.created_at, job.started_at, job.completed_at)
    return (
        job.id, job.status, job.stage, job.dataset_name, job.preset_id,
        job.hyperparameters.base_model, job.gpu.type, job.gpu.count, attempts_of(job),
        progress.share, progress.step, progress.total_steps, job.current_epoch, job.total_epochs,
        job.training_loss, job.validation_loss,
        *(moment.isoformat() if moment else None for moment in moments),
        progress.elapsed, progress.left, progress.cost, progress.cost_is_computed,
        job_columns.estimated_cost(job, progress), job.artifact_id, reason_of(job),
    )  # fmt: skip
