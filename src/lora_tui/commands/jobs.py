"""`jobs`: the training jobs, and `jobs show`: one of them; from the cache alone."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.cache import jobs, metadata, models
from lora_tui.cache.jobs import RUNNING, STATUSES, JobList, JobQuery, JobSort, JobSummary
from lora_tui.cache.recent_steps import recent_steps
from lora_tui.cache.runs import LiveJudgement, judge_live
from lora_tui.commands import job_columns
from lora_tui.commands.context import CACHE_REBUILT, Context, resolve_job
from lora_tui.commands.dates import moment_of_option
from lora_tui.commands.job_columns import JobColumn, JobLine, Style
from lora_tui.commands.show import setting_lines
from lora_tui.commands.table import table_lines, terminal_width
from lora_tui.domain import Job
from lora_tui.domain.run_progress import RunProgress, progress_of
from lora_tui.errors import ConfigError, UsageError

_GROUPS: Final = {
    "active": (*RUNNING, *jobs.QUEUED),
    "ended": jobs.FINISHED,
}
"""What `--status` takes beside the statuses themselves."""
_LABEL_WIDTH: Final = 20


def list_jobs(context: Context) -> None:
    """Print the first jobs of the list, or follow them."""
    arguments = context.arguments
    query, columns = query_of(context), _columns(context)
    if columns is None:
        return
    if arguments.watch is not None:
        from lora_tui.commands.job_watch import watch

        watch(context, query, columns)
        return
    with context.cache() as db:
        found = JobList(db, query)
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


def show_job(context: Context) -> None:
    """Print every fact about one job."""
    with context.cache() as db:
        summary = resolve_job(db, context.arguments.job)
        (line,) = job_lines(db, [summary], clock.now())
        rows = jobs.job_rows(db, [summary.job.id], dataset_keys=_DATASET_KEYS)
        model = models.model_of_job(db, summary.job.id)
        judgement = judge_live(db, summary.job.id)
    if context.json:
        data = as_data(rows[0], line)
        data["model"] = None if model is None else {"id": model.id, "name": model.name}
        data["warnings"] = [finding.sentence for finding in judgement.warnings]
        context.print_data(data)
        return
    style = style_of(context)
    made = f"{model.name} ({model.id[:8]})" if model else line.job.artifact_id
    lines = fact_lines(line, style, model=made)
    for label, value in (*lines, *_judgement_lines(line.job, judgement)):
        context.out.write(f"{label:<{_LABEL_WIDTH}} {value}".rstrip() + "\n" if label else "\n")
    _print_error(context, line.job)


def _print_error(context: Context, job: Job) -> None:
    """Why a job failed, its lines broken between words where a terminal is too narrow for them."""
    width = terminal_width(context.out.stream.fileno()) - 2 if context.out.isatty() else None
    if job.error_message:
        context.out.write("\nReason\n")
        for part in job.error_message.split("\n"):
            broken = [part] if width is None else textwrap.wrap(part, width) or [""]
            context.out.writelines(f"  {text}\n" for text in broken)
    if job.error_stack:  # as it is, to be copied
        context.out.write("\nStack\n")
        context.out.writelines(f"  {part}\n" for part in job.error_stack.split("\n"))


def _judgement_lines(job: Job, judgement: LiveJudgement) -> list[tuple[str, str]]:
    """What the points of the run tell, as (label, text) lines; empty without any."""
    opinion = judgement.opinion
    if opinion is None:
        return []
    if job.status in RUNNING:
        lines = [("If it ended now", judgement.if_it_ended_now.sentence)]
        findings = judgement.warnings
    else:
        lines = [("Second opinion", opinion.verdict)]
        findings = opinion.findings
    lines += [(f"  {finding.severity.name.lower()}", finding.sentence) for finding in findings]
    return [("", ""), *lines]


_DATASET_KEYS: Final = ("id", "name", "format", "total_training_pairs")


def query_of(context: Context) -> JobQuery:
    """The query of the options. Raises UsageError."""
    arguments = context.arguments
    return JobQuery(
        sort=JobSort(arguments.sort),
        reverse=arguments.reverse,
        search=arguments.search or "",
        statuses=_statuses(arguments.status),
        dataset=arguments.dataset or "",
        preset=arguments.preset or "",
        base_model=arguments.base_model or "",
        gpu=arguments.gpu or "",
        created_from=moment_of_option(arguments.since),
        created_before=moment_of_option(arguments.until, whole_day=True),
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
    width = terminal_width(context.out.stream.fileno()) if context.out.isatty() else None
    table, rows = job_columns.filled_columns(columns, lines, style._replace(width=width))
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
        },
    }


def fact_lines(line: JobLine, style: Style, *, model: str | None) -> list[tuple[str, str]]:
    """A job as (label, value) lines; an empty label is a blank line. Without its error."""
    job = line.job
    unknown = formats.NO_VALUE
    return [
        ("Id", job.id),
        (
            "Status",
            job.status if job.stage in (None, job.status) else f"{job.status} ({job.stage})",
        ),
        ("Model", model or unknown),
        ("Attempts", formats.count(job_columns.attempts(job))),
        ("Job at the worker", job.external_job_id or unknown),
        ("", ""),
        *_progress_lines(line, style),
        ("", ""),
        ("Queued", formats.date_time(job.queued_at or job.created_at)),
        ("Started", formats.date_time(job.started_at)),
        ("Ended", formats.date_time(job.completed_at)),
        ("Last change", formats.date_time(job.updated_at)),
        ("", ""),
        *_cost_lines(job, line.progress),
        ("", ""),
        ("Dataset", job.dataset_name or job.dataset_id or unknown),
        ("Preset", job.preset_id or unknown),
        *setting_lines(job.hyperparameters, job.gpu),
    ]


def _progress_lines(line: JobLine, style: Style) -> list[tuple[str, str]]:
    job, progress = line.job, line.progress
    lines = [
        ("Progress", job_columns.progress_text(line, style)),
        ("Step", job_columns.step_text(line)),
        ("Epoch", job_columns.epoch_text(job)),
        ("Training loss", formats.loss(job.training_loss)),
        ("Validation loss", formats.loss(job.validation_loss)),
    ]
    curve = job_columns.curve_text(line, style)
    if curve:
        lines.append(("Curve", curve))
    lines.append(("Elapsed", job_columns.duration_text(progress.elapsed)))
    if job.status in RUNNING:
        lines.append(("Time left", job_columns.left_text(progress)))
        lines.append(("Steps per second", formats.significant(progress.pace)))
    return lines


def _cost_lines(job: Job, progress: RunProgress) -> list[tuple[str, str]]:
    label = "Cost" if job.final_cost is not None else "Cost so far"
    return [
        (label, job_columns.cost_text(progress)),
        ("Estimated cost", formats.money(job_columns.estimated_cost(job, progress))),
        *_price_line(job.gpu.cost_per_hour),
    ]


def _price_line(price: float | None) -> list[tuple[str, str]]:
    return [] if price is None else [("Price of a GPU", formats.hourly_price(price))]


def _columns(context: Context) -> tuple[JobColumn, ...] | None:
    """The columns to show; None where `--columns help` printed them instead."""
    names = context.arguments.columns
    if names is None or names.strip().lower() != "help":
        return job_columns.chosen_columns(names)
    if context.json:
        context.print_data({"columns": [column.name for column in job_columns.COLUMNS]})
    else:
        context.out.writelines(f"{column.name}\n" for column in job_columns.COLUMNS)
    return None


def style_of(context: Context) -> Style:
    """How the texts are drawn on this output."""
    if not context.out.isatty():
        return Style(bars=False, ascii_only=False)
    from lora_tui.config.load import load_preferences

    ascii_only = False
    with suppress(ConfigError):
        ascii_only = load_preferences(context.profile.paths.config_file).ascii_only
    return Style(bars=True, ascii_only=ascii_only)


def _statuses(text: str | None) -> frozenset[str]:
    names = {name.strip().lower() for name in (text or "").split(",") if name.strip()}
    for group, members in _GROUPS.items():
        if group in names:
            names = names - {group} | set(members)
    unknown = names - set(STATUSES)
    if unknown:
        raise UsageError(
            f"There is no status {sorted(unknown)[0]!r}",
            remedy=f"choose from {', '.join((*STATUSES, *_GROUPS))}",
        )
    return frozenset(names)


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
        job.hyperparameters.base_model, job.gpu.type, job.gpu.count, job_columns.attempts(job),
        progress.share, progress.step, progress.total_steps, job.current_epoch, job.total_epochs,
        job.training_loss, job.validation_loss,
        *(moment.isoformat() if moment else None for moment in moments),
        progress.elapsed, progress.left, progress.cost, progress.cost_is_computed,
        job_columns.estimated_cost(job, progress), job.artifact_id, job_columns.reason_of(job),
    )  # fmt: skip
