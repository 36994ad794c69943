"""Job: one training job while it runs and after: progress, cost, charts, opinion, error."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.jobs import get_job
from lora_tui.cache.live_curves import lacks_earlier
from lora_tui.cache.models import model_of_job
from lora_tui.cache.recent_steps import recent_steps
from lora_tui.cache.runs import LiveJudgement, judge_live
from lora_tui.domain import Job, Model
from lora_tui.domain.job_statuses import ENDED, QUEUED, RUNNING
from lora_tui.domain.run_progress import progress_of
from lora_tui.opinion import Comparison, Kind, Severity, compare_with_rating
from lora_tui.screens.cancel_job import ask_to_cancel, can_cancel
from lora_tui.screens.chart_screen import CHART_ACTIONS, CHART_KEYS, Scrolled
from lora_tui.screens.metrics_screen import METRICS_KEYS, MetricsScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.charts.metric_charts import MetricCharts
from lora_tui.widgets.job_page import (
    JobError,
    JobHeader,
    LiveWarnings,
    error_text,
    stages_of_job,
)
from lora_tui.widgets.model_page import JobTimeline, OpinionPanel
from lora_tui.widgets.screen_bars import KeyBar, StatusBar
from lora_tui.widgets.states import StatePanel

_WIDE: Final = 110
_FACTS: Final = frozenset({Topic.JOBS, Topic.MODELS, Topic.DATASETS})
_BARS: Final = 2
_TICK_SECONDS: Final = 1.0
_JUDGED_AGAIN: Final = 1.01
"""A run is judged again when it has grown by this factor."""


class JobScreen(MetricsScreen):
    """One training job, in two columns on a wide terminal, else in one."""

    CSS_PATH = "job.tcss"
    ABOUT = "One training job: how far it is, what it costs, and all that it logged so far."
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("job.model", "model", "Model", tooltip="Show the model that the job made"),
        bound("list.open", "model", "Model", show=False),
        bound("job.cancel", "cancel", "Cancel", tooltip="Stop the run at the GPU worker"),
        *METRICS_KEYS,
        *CHART_KEYS,
        bound(
            *("job.copy", "copy", "Copy"),
            show=False,
            tooltip="Copy the error, or the id if there is none",
        ),
    ]

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        self._job: Job | None = None
        self._model: Model | None = None
        self._judgement: LiveJudgement | None = None
        self._recent: list[tuple[datetime, float]] = []
        """Time and step of the points of the last minutes."""
        self._judged = 0
        """How many points the judgement is of."""

    def compose(self) -> ComposeResult:
        """Header, charts, facts, status and keys."""
        ascii_only = self.ascii_only
        header = JobHeader(ascii_only=ascii_only)
        yield header
        with Scrolled(id="page"):
            with Scrolled(id="run"):
                yield MetricCharts(
                    ascii_only=ascii_only,
                    reserved=lambda _width: len(header.lines(self.size.width - 4)) + _BARS,
                )
            with Scrolled(id="facts"):
                yield JobError(ascii_only=ascii_only)
                yield LiveWarnings(ascii_only=ascii_only)
                yield OpinionPanel(ascii_only=ascii_only)
                yield JobTimeline(ascii_only=ascii_only)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is cached; fetch missing points; let the time go on."""
        self._show_job()
        self.follow_run(self.job_id)
        self.set_interval(_TICK_SECONDS, self.while_alive(self._show_progress))

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the cache."""
        if topics & _FACTS:
            self._show_job()
            self.read_run()  # only if its length has changed
        if Topic.CURVES in topics:
            self._read_recent()
            self._show_progress()
            self.read_run()
        if Topic.SYNC in topics and self._job is not None and self._job.status in RUNNING:
            self._judge()  # a run that logs nothing any more is found by the time alone
        self.query_one(StatusBar).update_from_cache()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Offer only actions that apply."""
        if action in CHART_ACTIONS or action == "axis":
            return self.is_mounted and self._job is not None and self.chart.has_curve
        if action == "metrics":
            return self.is_mounted and self._job is not None and bool(self.chart.every_chart)
        if action == "model":
            return self._model is not None
        if action == "cancel":
            return can_cancel(self._job)
        return True

    def action_back(self) -> None:
        """Go back to where it was opened."""
        self.dismiss()

    def action_model(self) -> None:
        """Show the model that this job made."""
        if self._model is not None:
            self.lora.open_model(self._model.id)

    def action_cancel(self) -> None:
        """Stop the run, after a question."""
        if self._job is not None and can_cancel(self._job):
            ask_to_cancel(self.lora, self._job)

    def action_copy(self) -> None:
        """Copy the error with the job's id, or the id alone."""
        text = error_text(self._job) if self._job else ""
        if text:
            self.lora.copy(f"{self.job_id}\n{text}", what="Error of the job")
        else:
            self.lora.copy(self.job_id)

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines: in two columns both, each as far as it goes."""
        for part in self._parts:
            part.scroll_relative(y=lines, animate=False)

    @property
    def scrolled(self) -> Scrolled:
        """In two columns the facts, or the charts where only these are too long."""
        return next((part for part in self._parts if part.max_scroll_y > 0), self._parts[0])

    @property
    def _parts(self) -> list[Scrolled]:
        names = ("#facts", "#run") if self.has_class("-wide") else ("#page",)
        return [self.query_one(name, Scrolled) for name in names]

    @property
    def nothing_logged(self) -> str:
        """Said of a run without points."""
        ended = self._job is not None and self._job.status in ENDED
        return "Nothing was logged" if ended else "Nothing was logged yet"

    def run_read(self) -> None:
        """Judge the run again; a new opinion only if it has grown by some points."""
        run = self._read.run if self._read else None
        if run is not None:
            self._show_timeline()
            self._judge()

    def _judge(self) -> None:
        points = len(self._read.run) if self._read else 0
        known = self._judgement.opinion if self._judgement else None
        if points >= self._judged * _JUDGED_AGAIN:
            self._judged, known = points, None
        judge = partial(judge_live, job_id=self.job_id, opinion=known)
        self.read(judge, self._take_judgement, exclusive="judgement")

    def _take_judgement(self, judgement: LiveJudgement) -> None:
        self._judgement = judgement
        self._show_judgement()
        self._show_progress()

    def _show_judgement(self) -> None:
        judgement, job = self._judgement, self._job
        if judgement is None or job is None:
            return
        warnings = judgement.warnings if job.status in RUNNING else ()
        self.query_one(LiveWarnings).show(warnings)
        opinion, comparison = judgement.opinion, None
        if opinion is not None:
            told: set[tuple[Kind, Severity | None]]
            told = {(warning.kind, None) for warning in warnings}
            if job.status in RUNNING:
                # it speaks of the last point, and of a stored rating
                told.add((Kind.VALIDATION, Severity.NOTE))
            rest = tuple(
                found
                for found in opinion.findings
                if told.isdisjoint({(found.kind, None), (found.kind, found.severity)})
            )
            opinion = replace(opinion, findings=rest)
            comparison = Comparison(None, judgement.if_it_ended_now.sentence)
            if self._model is not None:
                comparison = compare_with_rating(opinion, self._model.quality)
            elif job.status not in RUNNING:
                comparison = Comparison(None, _without_model(job))
        self.query_one(OpinionPanel).show(opinion, comparison)

    def _show_job(self) -> None:
        found = get_job(self.db, self.job_id)
        self._job = job = found.job if found else None
        self._model = model_of_job(self.db, self.job_id) if job else None
        self.set_class(job is None, "-gone")
        if job is None:
            back = key_of(self.app, "screen.back")
            self.query_one(StatePanel).show_message(
                "This job is gone",
                "It was deleted from the project, or it is no longer yours.",
                f"Press {back} to go back.",
            )
        else:
            self.query_one(JobError).show(job)
            self._read_recent()
            self._show_timeline()
            self._show_progress()
            self._show_judgement()
            if not self.chart.every_chart:
                self.chart.show(None, otherwise=self.instead_of_charts)
        self.refresh_bindings()

    def _show_timeline(self) -> None:
        if self._job is not None:
            start = self._read.position.start if self._read and self._read.position else None
            made = self._model.created_at if self._model else None
            run = self._read.run if self._read else None
            if lacks_earlier(self.db, self.job_id):
                run = None  # its first point is not that of the job
            stages = stages_of_job(self._job, run, start, model_made=made)
            self.query_one(JobTimeline).show(stages)

    def _read_recent(self) -> None:
        self._recent = recent_steps(self.db, self.job_id)

    def _show_progress(self) -> None:
        """Show how far it is at this moment."""
        if self._job is not None:
            progress = progress_of(self._job, clock.now(), self._recent)
            # in one column the warnings are below the charts, where they are not seen at once
            judgement = self._judgement if self.has_class("-narrow") else None
            warnings = judgement.warnings if judgement and self._job.status in RUNNING else ()
            self.query_one(JobHeader).show(self._job, progress, next(iter(warnings), None))


def _without_model(job: Job) -> str:
    """Why there is no model of a run that is not running."""
    if job.status == "completed":
        return "Its result is not imported as a model yet."
    if job.status in QUEUED:
        return "These points are of an earlier attempt."
    return "No model was made of this run."
