"""The columns of `lora-tui jobs`: what each tells of a job, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.commands.style import Style
from lora_tui.commands.table import Column
from lora_tui.domain import Job, RunProgress, age_begins, attempts_of, reason_of
from lora_tui.domain.job_statuses import RUNNING
from lora_tui.errors import UsageError
from lora_tui.text import fit

_BAR_WIDTH: Final = 10
_NARROW_BAR_WIDTH: Final = 5
_NARROW: Final = 100
"""Below this width of the terminal bars are shorter."""
CURVE_WIDTH: Final = 12
_LONGEST: Final = 40
"""Cells of a name in a file."""
_LONGEST_REASON: Final = 120
"""Cells of the reason of a failure in a log."""


class JobLine(NamedTuple):
    """What the columns of one job are made of."""

    job: Job
    progress: RunProgress
    sparkline: tuple[float, ...]
    now: datetime


class JobColumn(NamedTuple):
    """One column that can be named in `--columns`."""

    name: str
    table: Column
    text: Callable[[JobLine, Style], str]
    shown: bool = True
    """Whether it is shown where no columns are named."""
    named: bool = False
    """Whether `--columns` names it."""


def chosen_columns(names: str | None) -> tuple[JobColumn, ...]:
    """The columns that `--columns` names, in its order; without it the usual ones.

    Those named first stay longest where the terminal is too narrow. Raises UsageError.
    """
    if names is None:
        return tuple(column for column in COLUMNS if column.shown)
    known = {column.name: column for column in COLUMNS}
    words = [word.strip().lower().replace("-", "_") for word in names.split(",")]
    chosen = list(dict.fromkeys(word for word in words if word))
    unknown = [word for word in chosen if word not in known]
    if unknown or not chosen:
        raise UsageError(
            f"There is no column {unknown[0]!r}" if unknown else "No column is named",
            remedy=f"choose from {', '.join(known)}",
        )
    return tuple(
        known[name]._replace(
            table=known[name].table._replace(importance=len(chosen) - place), named=True
        )
        for place, name in enumerate(chosen)
    )


def filled_columns(
    columns: Sequence[JobColumn], lines: Sequence[JobLine], style: Style
) -> tuple[list[Column], list[list[str]]]:
    """Columns and their texts, without columns that have no value in any line.

    The id stays, and so does what was named: a script counts the columns.
    """
    texts = [[column.text(line, style) for line in lines] for column in columns]
    kept = [
        place
        for place, cells in enumerate(texts)
        if columns[place].name == "id"
        or columns[place].named
        or any(cell.strip() not in ("", _UNKNOWN) for cell in cells)
    ]
    rows = [[texts[place][row] for place in kept] for row in range(len(lines))]
    return [columns[place].table for place in kept], rows


def progress_text(line: JobLine, style: Style) -> str:
    """`█████░░░░░  52 %`; only the percent where no bars are drawn."""
    share = line.progress.share
    if share is None:
        return _UNKNOWN
    percent = formats.share(share)
    if not style.bars:
        return percent
    full, empty = ("#", ".") if style.ascii_only else ("█", "░")
    width = _NARROW_BAR_WIDTH if style.width is not None and style.width < _NARROW else _BAR_WIDTH
    cells = min(width, max(0, int(share * width)))
    return f"{full * cells}{empty * (width - cells)} {percent:>5}"


def curve_text(line: JobLine, style: Style) -> str:
    """The training loss as a small curve; nothing where no bars are drawn."""
    if not style.bars or not line.sparkline:
        return ""
    from lora_tui.widgets.charts.sparkline import sparkline

    return sparkline(line.sparkline, CURVE_WIDTH, ascii_only=style.ascii_only)


def step_text(line: JobLine) -> str:
    """`1,200/3,000`; `1,200` where the number of all steps is unknown."""
    return _of(line.progress.step, line.progress.total_steps, formats.count)


def epoch_text(job: Job) -> str:
    """`1.4/3`."""
    return _of(job.current_epoch, job.total_epochs, formats.number)


def duration_text(seconds: float | None) -> str:
    """`1:02:03`; a dash where it is unknown."""
    return _UNKNOWN if seconds is None else formats.duration(seconds)


def left_text(progress: RunProgress) -> str:
    """`about 1:02:03`."""
    text = duration_text(progress.left)
    return text if text == _UNKNOWN else f"about {text}"


def cost_text(progress: RunProgress) -> str:
    """US dollars so far; `about …` where it is computed from the time and the GPU's price."""
    if progress.cost is None:
        return _UNKNOWN
    return f"{'about ' if progress.cost_is_computed else ''}{formats.money(progress.cost)}"


def estimated_cost(job: Job, progress: RunProgress) -> float | None:
    """US dollars of the whole run, before it has ended: as the backend says, else extrapolated."""
    if job.estimated_cost is not None:
        return job.estimated_cost
    return progress.total_cost if job.status in RUNNING else None


def note_text(line: JobLine) -> str:
    """The time that a job still takes, or why it failed: no job has both."""
    left = left_text(line.progress)
    return reason_of(line.job) if left == _UNKNOWN else f"{left} left"


def age_text(line: JobLine) -> str:
    """How long ago it ended, started or was queued: `5 min ago`."""
    moment = age_begins(line.job)
    return _UNKNOWN if moment is None else formats.age(moment, line.now)


def gpu_text(job: Job) -> str:
    """`2 × H100`; `H100` for one."""
    gpu = job.gpu
    if gpu.type is None:
        return _UNKNOWN
    return gpu.type if gpu.count in (None, 1) else f"{gpu.count} × {gpu.type}"


def _of(value: float | None, total: float | None, text: Callable[[float], str]) -> str:
    if value is None:
        return _UNKNOWN
    return text(value) if total is None else f"{text(value)}/{text(total)}"


def _begun(job: Job) -> datetime | None:
    return job.queued_at or job.created_at


_UNKNOWN: Final = formats.NO_VALUE


def _name(text: str | None) -> str:
    return text or _UNKNOWN


def _flexible(heading: str, importance: int) -> Column:
    """A column of names, which may be cut."""
    return Column(heading, importance, least=12, most=_LONGEST)


COLUMNS: Final = (
    JobColumn("id", Column("ID", 100), lambda line, _: line.job.id[:8]),
    JobColumn("status", Column("STATUS", 99), lambda line, _: line.job.status),
    JobColumn("dataset", _flexible("DATASET", 95), lambda line, _: _name(line.job.dataset_name)),
    JobColumn("progress", Column("PROGRESS", 90), progress_text),
    JobColumn("step", Column("STEP", 84, right=True, most=25), lambda line, _: step_text(line)),
    JobColumn(
        "epoch", Column("EPOCH", 52, right=True, most=15), lambda line, _: epoch_text(line.job)
    ),
    JobColumn(
        "loss",
        Column("LOSS", 80, right=True),
        lambda line, _: formats.loss(line.job.training_loss),
    ),
    JobColumn(
        "validation_loss",
        Column("VAL LOSS", 60, right=True),
        lambda line, _: formats.loss(line.job.validation_loss),
    ),
    JobColumn("curve", Column("CURVE", 58), curve_text),
    JobColumn(
        "age",
        Column("AGE", 64, right=True),
        lambda line, _: age_text(line),
    ),
    JobColumn(
        "elapsed",
        Column("ELAPSED", 62, right=True),
        lambda line, _: duration_text(line.progress.elapsed),
    ),
    JobColumn("cost", Column("COST", 78, right=True), lambda line, _: cost_text(line.progress)),
    JobColumn(
        "estimated",
        Column("ESTIMATED", 56, right=True),
        lambda line, _: formats.money(estimated_cost(line.job, line.progress)),
    ),
    JobColumn("preset", _flexible("PRESET", 50), lambda line, _: _name(line.job.preset_id)),
    JobColumn(
        "base_model",
        _flexible("BASE MODEL", 48),
        lambda line, _: _name(line.job.hyperparameters.base_model),
    ),
    JobColumn("gpu", _flexible("GPU", 46), lambda line, _: gpu_text(line.job)),
    JobColumn(
        "attempts",
        Column("ATTEMPTS", 40, right=True),
        lambda line, _: formats.count(attempts_of(line.job)),
    ),
    JobColumn("note", Column("NOTE", 83, least=16, most=80), lambda line, _: note_text(line)),
    JobColumn(
        "left",
        Column("LEFT", 82, right=True),
        lambda line, _: left_text(line.progress),
        shown=False,
    ),
    JobColumn(
        "reason",
        Column("REASON", 70, least=18, most=80),
        lambda line, _: reason_of(line.job),
        shown=False,
    ),
    JobColumn("stage", _flexible("STAGE", 30), lambda line, _: _name(line.job.stage), shown=False),
    JobColumn(
        "created",
        Column("CREATED", 30),
        lambda line, _: formats.date_time(_begun(line.job)),
        shown=False,
    ),
    JobColumn(
        "started",
        Column("STARTED", 30),
        lambda line, _: formats.date_time(line.job.started_at),
        shown=False,
    ),
    JobColumn(
        "completed",
        Column("COMPLETED", 30),
        lambda line, _: formats.date_time(line.job.completed_at),
        shown=False,
    ),
    JobColumn(
        "model",
        Column("MODEL", 30),
        lambda line, _: line.job.artifact_id[:8] if line.job.artifact_id else _UNKNOWN,
        shown=False,
    ),
    JobColumn(
        "pace",
        Column("STEPS/S", 30, right=True),
        lambda line, _: formats.significant(line.progress.pace),
        shown=False,
    ),
)
"""In the order of the table."""


def one_line(line: JobLine) -> str:
    """A job in one line of text, for a log that follows it."""
    job, progress = line.job, line.progress
    parts = [job.id[:8], fit(job.status, 12).rstrip(), _name(job.dataset_name)]
    if progress.step is not None:
        parts.append(f"step {step_text(line)}")
    if progress.share is not None and job.status in RUNNING:
        parts.append(formats.share(progress.share))
    if job.training_loss is not None:
        parts.append(f"loss {formats.loss(job.training_loss)}")
    if job.validation_loss is not None:
        parts.append(f"validation loss {formats.loss(job.validation_loss)}")
    if left_text(progress) != _UNKNOWN:
        parts.append(f"{left_text(progress)} left")
    if progress.cost is not None:
        parts.append(cost_text(progress))
    if reason_of(job):
        parts.append(fit(reason_of(job), _LONGEST_REASON).rstrip())
    return "  ".join(parts)
