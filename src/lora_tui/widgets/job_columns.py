"""Defines the columns of the list of training jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui import clock, formats
from lora_tui.cache.job_query import JobSort
from lora_tui.domain import Job, RunProgress, age_begins, attempts_of, progress_of, reason_of
from lora_tui.domain.job_statuses import RUNNING
from lora_tui.widgets.charts.sparkline import sparkline
from lora_tui.widgets.job_status import status_span
from lora_tui.widgets.row_columns import Column, ColumnSet, RenderContext
from lora_tui.widgets.styled_lines import Span

_LEAST_BAR: Final = 3
_MOST_BAR: Final = 20
_PERCENT: Final = 6
"""Cells of a blank and `100 %`."""


class JobRow(NamedTuple):
    """A training job as a row of the list."""

    job: Job
    sparkline: tuple[float, ...]
    """Down-sampled training loss; empty if it is not cached."""
    recent: tuple[tuple[datetime, float], ...]
    """Time and step of the first and the last point of the last minutes."""

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.job.id

    @property
    def is_running(self) -> bool:
        """Whether its time and its progress change by themselves."""
        return self.job.status in RUNNING


def _progress(row: JobRow) -> RunProgress:
    return progress_of(row.job, clock.now(), row.recent)


def _dataset(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    name = row.job.dataset_name
    return [(name, "name") if name else (f"Job {row.id[:8]}", "name")]


def _status(row: JobRow, context: RenderContext) -> Sequence[Span]:
    """`● running ━━━━──── 34 %`, `✗ failed at 34 %`, and where it is narrow the reason instead."""
    job = row.job
    word = status_span(job.status, ascii_only=context.ascii_only)
    share = _progress(row).share
    if row.is_running:
        return [word, *_bar(share, context.width - len(word[0]), ascii_only=context.ascii_only)]
    if job.status == "failed" and not context.wide and job.error_message:
        return [word, (f": {reason_of(job)}", "muted")]
    if job.status in ("failed", "cancelled") and share is not None:
        return [word, (f" at {formats.share(share)}", "muted")]
    return [word]


def _bar(share: float | None, room: int, *, ascii_only: bool) -> list[Span]:
    """A blank, a bar if there is room for it, and the percent."""
    if share is None:
        return [("", "plain")]
    percent = formats.share(share).rjust(_PERCENT - 1)
    width = min(_MOST_BAR, room - _PERCENT - 1)
    if width < _LEAST_BAR:
        return [(f" {percent.strip()}", "plain")]
    full = int(share * width)
    filled, empty = ("#", "-") if ascii_only else ("━", "─")
    return [
        (" ", "plain"),
        (filled * full, "active"),
        (empty * (width - full), "faint"),
        (f" {percent}", "plain"),
    ]


def _left_or_age(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    left = _progress(row).left
    if left is not None:
        return [(formats.about(left), "plain")]
    moment = age_begins(row.job)
    return [(formats.age(moment, clock.now()) if moment else formats.NO_VALUE, "muted")]


def _loss(row: JobRow, context: RenderContext) -> Sequence[Span]:
    return [(formats.loss_in(row.job.training_loss, context.width), "plain")]


def _validation(row: JobRow, context: RenderContext) -> Sequence[Span]:
    return [(formats.loss_in(row.job.validation_loss, context.width), "plain")]


def _curve(row: JobRow, context: RenderContext) -> Sequence[Span]:
    if not row.sparkline:
        return [(formats.NO_VALUE, "faint")]
    return [(sparkline(row.sparkline, context.width, ascii_only=context.ascii_only), "curve")]


def _cost(row: JobRow, context: RenderContext) -> Sequence[Span]:
    progress = _progress(row)
    about = ("~" if context.ascii_only else "≈") if progress.cost_is_computed else ""
    return [(about + formats.money_in(progress.cost, context.width - len(about)), "plain")]


def _whole_cost(row: JobRow, context: RenderContext) -> Sequence[Span]:
    job = row.job
    total = _progress(row).total_cost
    cost = job.estimated_cost if total is None else total
    return [(formats.money_in(cost, context.width), "muted")]


def _step(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    progress = _progress(row)
    if progress.step is None and progress.total_steps is None:
        return [(formats.NO_VALUE, "faint")]
    step, total = formats.count(progress.step), formats.count(progress.total_steps)
    return [(step if progress.total_steps is None else f"{step}/{total}", "plain")]


def _epoch(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    epoch, total = row.job.current_epoch, row.job.total_epochs
    if epoch is None:
        return [(formats.NO_VALUE, "faint")]
    shown = formats.number(epoch)
    return [(shown if total is None else f"{shown}/{formats.number(total)}", "plain")]


def _elapsed(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    elapsed = _progress(row).elapsed
    return [(formats.NO_VALUE if elapsed is None else formats.duration(elapsed), "plain")]


def _preset(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    return [(row.job.preset_id or formats.NO_VALUE, "muted")]


def _base_model(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    name = row.job.hyperparameters.base_model or formats.NO_VALUE
    return [(name.rsplit("/", 1)[-1], "muted")]


def _gpu(row: JobRow, context: RenderContext) -> Sequence[Span]:
    gpu = row.job.gpu
    name = gpu.type or formats.NO_VALUE
    times = "x" if context.ascii_only else "×"
    return [
        (f"{formats.count(gpu.count)}{times} {name}" if (gpu.count or 1) > 1 else name, "muted")
    ]


def _attempts(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    return [(formats.count(attempts_of(row.job)), "plain")]


def _reason(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    job = row.job
    reason = reason_of(job)
    if reason:
        return [(reason, "plain")]
    stage = job.stage if row.is_running and job.stage != job.status else None
    return [(_one_line(stage or ""), "muted")]


def _created(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    moment = row.job.queued_at or row.job.created_at
    return [(formats.short_date(moment, clock.now()), "muted")]


def _id(row: JobRow, _context: RenderContext) -> Sequence[Span]:
    return [(row.id[:8], "muted")]


def _one_line(text: str) -> str:
    return " ".join(text.split())


_COLUMNS: Final = (
    Column("dataset", "Dataset", "Dataset", _dataset, 0, 24, most=44, sort=JobSort.DATASET,
           narrow_width=16),
    Column("status", "Status", "Status and progress", _status, 1, 24, most=28,
           sort=JobSort.STATUS, narrow_width=18),
    Column("when", "Left / age", "Time left, or age", _left_or_age, 2, 12),
    Column("loss", "Loss", "Training loss", _loss, 3, 6, right=True, sort=JobSort.LOSS),
    Column("validation", "Val. loss", "Validation loss", _validation, 11, 9, right=True),
    Column("curve", "Curve", "Curve of the training loss", _curve, 6, 10, most=24,
           narrow_width=8),
    Column("step", "Step", "Step", _step, 7, 13, right=True),
    Column("epoch", "Epoch", "Epoch", _epoch, 12, 6, right=True),
    Column("elapsed", "Elapsed", "Time since the start", _elapsed, 8, 8, right=True,
           sort=JobSort.DURATION),
    Column("cost", "Cost", "Cost so far", _cost, 4, 8, right=True, sort=JobSort.COST),
    Column("whole_cost", "In total", "Cost of the whole run", _whole_cost, 13, 8, right=True),
    Column("reason", "Stage or error", "Stage, or the reason of a failure", _reason, 5, 16,
           most=60, roomy_width=34),
    Column("preset", "Preset", "Preset", _preset, 9, 12),
    Column("base_model", "Base model", "Base model", _base_model, 10, 12, most=26),
    Column("gpu", "GPU", "GPU", _gpu, 14, 11, most=20),
    Column("attempts", "Tries", "Attempts", _attempts, 15, 5, right=True),
    Column("created", "Queued", "Date of queueing", _created, 16, 6, sort=JobSort.CREATED),
    Column("id", "Id", "Id, its beginning", _id, 17, 8),
)  # fmt: skip
JOB_COLUMNS: Final = ColumnSet(
    _COLUMNS,
    comfortable=24,
    shares={"reason": 60, "status": 100, "curve": 50, "base_model": 60, "gpu": 60, "dataset": 100},
)
