"""`jobs show`: every fact about one training job, from the cache alone."""

from __future__ import annotations

from typing import Final

from lora_tui import clock, formats
from lora_tui.cache import jobs, models
from lora_tui.cache.runs import LiveJudgement, judge_live
from lora_tui.commands import job_columns
from lora_tui.commands.context import Context, resolve_job
from lora_tui.commands.job_columns import JobLine
from lora_tui.commands.jobs import as_data, job_lines
from lora_tui.commands.prose import label_lines, wrapped
from lora_tui.commands.style import Style, style_of, width_of
from lora_tui.documents.facts import setting_lines
from lora_tui.domain import Job, RunProgress, attempts_of
from lora_tui.domain.job_statuses import RUNNING
from lora_tui.domain.outcome import NO_REASON

_LABEL_WIDTH: Final = 20
_DATASET_KEYS: Final = ("id", "name", "format", "total_training_pairs")


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
    width = width_of(context)
    for label, value in (*lines, *_judgement_lines(line.job, judgement)):
        parts = label_lines(label, value, width) if label else [""]
        context.out.writelines(f"{part.rstrip()}\n" for part in parts)
    _print_error(context, line.job)


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
        ("Attempts", formats.count(attempts_of(job))),
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


def _judgement_lines(job: Job, judgement: LiveJudgement) -> list[tuple[str, str]]:
    """What the points of the run tell, as (label, text) lines; empty without any."""
    opinion = judgement.opinion
    if job.status in RUNNING and (opinion or judgement.warnings):
        lines = [("Rating so far", judgement.if_it_ended_now.sentence)]
        findings = judgement.warnings
    elif opinion is None:
        return []
    else:
        lines = [("Second opinion", opinion.verdict)]
        findings = opinion.findings
    lines += [(f"  {finding.severity.name.lower()}", finding.sentence) for finding in findings]
    return [("", ""), *lines]


def _print_error(context: Context, job: Job) -> None:
    """Why a job failed, its lines broken between words where a terminal is too narrow for them."""
    terminal = width_of(context)
    width = None if terminal is None else terminal - 2
    if job.error_message:
        context.out.write("\nReason\n")
        for part in job.error_message.split("\n"):
            broken = [part] if width is None else wrapped(part, width)
            context.out.writelines(f"  {text}\n" for text in broken)
    elif job.status == "failed":
        context.out.write(f"\nReason\n  {NO_REASON}\n")
    if job.error_stack:  # as it is, to be copied
        context.out.write("\nStack\n")
        context.out.writelines(f"  {part}\n" for part in job.error_stack.split("\n"))
