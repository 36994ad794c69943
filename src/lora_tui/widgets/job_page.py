"""The parts of a job's page: its header and the error of a failed one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.curves.metrics_series import VALIDATION, MetricRun
from lora_tui.domain import Job, RunProgress, attempts_of, reason_of
from lora_tui.domain.job_statuses import RUNNING
from lora_tui.opinion import Finding
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.job_status import status_span
from lora_tui.widgets.model_page import Stage, advice_lines, finding_lines
from lora_tui.widgets.styled_lines import Line, Span, StyledLines, line_styles

_GAP: Final = "   "
_MOST_BAR: Final = 40
_LEAST_BAR: Final = 10
_LEAST_SETTINGS: Final = 24
_ENDED: Final = {"completed": "Completed", "failed": "Failed", "cancelled": "Cancelled"}


class JobHeader(StyledLines):
    """Shows what trains, its status, how far it is, how fast it goes, and what it costs."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        *("title", "muted", "strong", "value", "faint"),
        *("active", "waiting", "done"),
        *("failed", "overfit"),
    )

    _shown: tuple[Job, RunProgress, Finding | None] | None = None

    def show(self, job: Job, progress: RunProgress, warning: Finding | None = None) -> None:
        """Show this job as it is now, with the most serious of its warnings."""
        if self._shown != (job, progress, warning):
            self._shown = (job, progress, warning)
            height = len(self.lines(self.content_size.width))
            self.refresh(layout=height != self.content_size.height)

    def lines(self, width: int) -> Sequence[Line]:
        """See `header_lines`."""
        if self._shown is None:
            return ()
        job, progress, warning = self._shown
        lines = header_lines(job, progress, width, ascii_only=self.ascii_only)
        if warning is not None:
            sign, gap, *_ = finding_lines(warning, width, ascii_only=self.ascii_only)[0]
            text = normalize_width(warning.sentence, ascii_only=self.ascii_only)
            room = width - cell_len(sign[0] + gap[0])
            lines.append([sign, gap, (fit(text, room, ascii_only=self.ascii_only), "value")])
        return lines


def header_lines(
    job: Job, progress: RunProgress, width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Name and status; settings, on the same line where they fit; bar; times and costs; error."""
    between = " - " if ascii_only else " · "
    name = normalize_width(job.dataset_name or "Training job", ascii_only=ascii_only)
    status = status_span(job.status, ascii_only=ascii_only)
    settings = between.join(
        normalize_width(text, ascii_only=ascii_only) for text in settings_of(job)
    )
    room = width - cell_len(status[0]) - len(_GAP)
    title: list[Span] = [(fit(name, min(cell_len(name), room), ascii_only=ascii_only), "title")]
    title += [(_GAP, "muted"), status]
    left = width - sum(cell_len(text) for text, _ in title) - len(_GAP)
    lines: list[Line] = [title]
    if left >= max(_LEAST_SETTINGS, cell_len(settings)):
        aside = fit(settings, left, right=True, ascii_only=ascii_only)
        title += [(_GAP, "muted"), (aside, "muted")]
    else:
        lines.append([(fit(settings, width, ascii_only=ascii_only), "muted")])
    lines.append(_bar_line(job, progress, width, ascii_only=ascii_only))
    lines.append(_flow(_drawable(time_and_cost(job, progress), ascii_only), width))
    if job.status == "failed":
        reason = f"{'x' if ascii_only else '✗'} {reason_of(job)}"
        lines.append([(fit(reason, width, ascii_only=ascii_only), "failed")])
    return lines


def settings_of(job: Job) -> list[str]:
    """What is trained on what: preset, base model, GPUs, attempts; only what is known."""
    gpu = job.gpu.type
    if gpu and (job.gpu.count or 1) > 1:
        gpu = f"{formats.count(job.gpu.count)} x {gpu}"
    begun, attempts = attempts_of(job), None
    if begun is not None and job.retries:
        number = formats.count(job.retries + 1)
        attempts = f"attempt {number}" if begun > job.retries else f"waits for attempt {number}"
    return [text for text in (job.preset_id, job.hyperparameters.base_model, gpu, attempts) if text]


def _bar_line(job: Job, progress: RunProgress, width: int, *, ascii_only: bool) -> Line:
    facts = _drawable(progress_facts(job, progress), ascii_only)
    needed = sum(len(_GAP) + cell_len(text) for text, _ in facts)
    cells = max(_LEAST_BAR, min(_MOST_BAR, width - needed))
    full, empty = ("=", ".") if ascii_only else ("━", "─")
    done = int(cells * (progress.share or 0.0))
    style = status_span(job.status)[1]
    bar: list[Span] = [(full * done, style), (empty * (cells - done), "faint")]
    return [*bar, *_flow([("", "value"), *facts], width - cells)]


def _drawable(facts: Sequence[Span], ascii_only: bool) -> list[Span]:
    return [(normalize_width(text, ascii_only=ascii_only), style) for text, style in facts]


def progress_facts(job: Job, progress: RunProgress) -> list[Span]:
    """Percent, step of steps, epoch of epochs, pace, stage: only what is known."""
    facts: list[Span] = []
    if progress.share is not None:
        facts.append((formats.share(progress.share), "strong"))
    if progress.step is not None or progress.total_steps is not None:
        of = "" if progress.total_steps is None else f" of {formats.count(progress.total_steps)}"
        facts.append((f"step {formats.count(progress.step)}{of}", "value"))
    if job.current_epoch is not None:
        of = "" if job.total_epochs is None else f" of {formats.number(job.total_epochs)}"
        facts.append((f"epoch {formats.number(job.current_epoch)}{of}", "value"))
    if progress.pace is not None and job.status in RUNNING:
        facts.append((formats.pace(progress.pace), "muted"))
    if job.stage and job.stage.lower() != job.status:
        facts.append((job.stage, "muted"))
    return facts


def time_and_cost(job: Job, progress: RunProgress) -> list[Span]:
    """Time passed and left, cost so far and of the whole run: only what is known."""
    facts: list[Span] = []
    if progress.elapsed is not None:
        ended = job.status not in RUNNING
        words = "took" if ended else "running for"
        facts.append((f"{words} {formats.duration(progress.elapsed)}", "value"))
    if progress.left is not None:
        facts.append((f"about {formats.duration(progress.left)} left", "strong"))
    if progress.cost is not None:
        about = "about " if progress.cost_is_computed else ""
        ended = job.final_cost is not None
        so_far = "" if ended else " so far"
        facts.append((f"{about}{formats.money(progress.cost)}{so_far}", "value"))
    if progress.total_cost is not None and job.final_cost is None:
        facts.append((f"about {formats.money(progress.total_cost)} in all", "muted"))
    if not facts:
        waiting = job.status == "queued"
        facts.append(("waiting for a GPU" if waiting else "no times recorded", "muted"))
    return facts


def _flow(facts: Sequence[Span], width: int) -> list[Span]:
    """As many of the facts as fit, in order."""
    spans: list[Span] = []
    used = 0
    for number, (text, style) in enumerate(facts):
        gap = _GAP if number else ""
        if used + len(gap) + cell_len(text) > width:
            break
        spans += [(gap, "muted"), (text, style)]
        used += len(gap) + cell_len(text)
    return spans


class JobError(StyledLines):
    """Shows why a job failed, and the stack, wrapped; hidden without an error."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("failed", "value", "muted")

    _job: Job | None = None

    def show(self, job: Job) -> None:
        """Show the error of this job, if there is one."""
        if self._job == job:
            return
        self._job = job
        self.display = bool(error_text(job))
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `error_lines`."""
        return error_lines(self._job, width, ascii_only=self.ascii_only) if self._job else ()


def error_text(job: Job) -> str:
    """Message and stack of a job, as they are copied; empty where nothing was recorded."""
    message, stack = job.error_message or "", job.error_stack or ""
    if message and stack.startswith(message):
        message = ""
    return "\n".join(part for part in (message, stack) if part)


def error_lines(job: Job, width: int, *, ascii_only: bool = False) -> list[Line]:
    """A heading, the message and the stack."""

    def wrapped(text: str | None, style: str) -> list[Line]:
        plain = normalize_width(text or "", ascii_only=ascii_only)
        return [[(line, style)] for line in wrap(plain, width)] if plain else []

    stack = wrapped(job.error_stack, "muted")
    heading: Line = [("Why it failed" if job.status == "failed" else "Last error", "failed")]
    message = wrapped(job.error_message, "value")
    return [heading, *message, *([[("", "muted")]] if message and stack else []), *stack]


class LiveWarnings(StyledLines):
    """Shows what is wrong with a run that goes on, each with its advice; hidden without one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "value", "muted", "done", "overfit", "failed"
    )

    _warnings: Sequence[Finding] = ()

    def show(self, warnings: Sequence[Finding]) -> None:
        """Show these."""
        self._warnings = warnings
        self.display = bool(warnings)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """A heading, and for each warning its sentence and advice."""
        lines: list[Line] = [[("Warnings", "heading")]]
        for finding in self._warnings:
            lines += finding_lines(finding, width, ascii_only=self.ascii_only)
            if finding.advice:
                lines += advice_lines(finding.advice, width, ascii_only=self.ascii_only)
        return lines


def stages_of_job(
    job: Job,
    run: MetricRun | None,
    start: datetime | None,
    *,
    model_made: datetime | None = None,
) -> list[Stage]:
    """Queued, started, first point, best validation, last point, the end, the model made.

    `start` is the time of the first point of `run`. Points without times are left out.
    """
    stages = [Stage("Queued", job.queued_at or job.created_at, "waiting")]
    if job.started_at is not None or job.status != "queued":
        stages.append(Stage("Started", job.started_at, "preparing"))
    if run is not None and start is not None and len(run):
        stages += _points(run, start)
    if job.status in _ENDED:
        stages.append(Stage(_ENDED[job.status], job.completed_at, "until harvested"))
    if model_made is not None:
        stages.append(Stage("Model made", model_made, ""))
    return stages


def _points(run: MetricRun, start: datetime) -> list[Stage]:
    def stage(name: str, number: int) -> Stage | None:
        seconds = run.place_of(number).seconds
        if seconds is None:
            return None
        return Stage(name, start + timedelta(seconds=seconds), "training")

    found = [stage("First point", 0)]
    losses = run.tracks.get(VALIDATION)
    best = losses.best_place if losses is not None else None
    if losses is not None and best is not None:
        found.append(stage("Best valid.", losses.numbers[best]))
    found.append(stage("Last point", len(run) - 1))
    return [stage for stage in found if stage is not None]
