"""Harvest: what waits, what becomes of it on this machine, why some failed, and another try."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.records import jobs_without_model
from lora_tui.domain import Job
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.ledger_schema import JobState, State
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.tui.background_harvest import BackgroundHarvest
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.harvest_row import job_entry
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel

_POLL_SECONDS: Final = 0.5
_AGE_SECONDS: Final = 15.0
_MOST_OF_A_STATE: Final = 100
_MOST_WAITING: Final = 1_000
_RETRIED: Final = (State.FAILED, State.DEAD)
_ORDER: Final = (State.RUNNING, State.FAILED, State.DEAD, State.WAITING, State.DONE)


class JobList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Open the model of a finished job"),
        *LIST_KEYS,
    ]


class HarvestScreen(ListScreen[JobState]):
    """Jobs that wait are in the cache, all else is in the ledger of this machine's harvest."""

    ABOUT = "Completed training jobs that become models. A worker keeps a result for half an hour."
    CSS_PATH = ["list_screen.tcss", "harvest.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Harvest"
    TOPICS = frozenset({Topic.JOBS, Topic.DATASETS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.harvest", "back", "Back", show=False),
        bound(
            "harvest.start",
            "start_or_stop",
            "Start/stop",
            tooltip="Harvest in the background, or stop it",
        ),
        bound("harvest.retry", "retry", "Retry", tooltip="Try the failed job again"),
        bound(
            "harvest.retry_all",
            "retry_all",
            "Retry all",
            show=False,
            tooltip="Try all failed jobs again",
        ),
    ]

    def __init__(self, harvest: BackgroundHarvest) -> None:
        """Open the ledger. Raises DiskError."""
        super().__init__()
        self._harvest = harvest
        self._ledger = harvest.open_ledger()
        self._done = 0
        self._unread: LoraTuiError | None = None
        """Why the ledger can't be read."""
        self._looked_at: tuple[object, ...] = ()
        self._missing = harvest.missing

    def compose_list(self) -> ComposeResult:
        """The list alone."""
        yield JobList(id="jobs", markup=False)

    def identity(self, row: JobState) -> str:
        """The job's id in the backend."""
        return row.job_id

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(_POLL_SECONDS, self.while_alive(self.poll_ledger))

    def on_unmount(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    def poll_ledger(self) -> None:
        """Show what has changed since, and the ages now and then."""
        harvest = self._harvest
        version = None
        with suppress(LoraTuiError):  # reading the list says it
            version = self._ledger.version()
        age = int(clock.now().timestamp() // _AGE_SECONDS)
        state = (version, harvest.running, harvest.stopping, harvest.error, age)
        if state != self._looked_at:
            self._looked_at = state
            self.refresh_list()

    def refresh_list(self) -> None:
        """Read the list anew; the cursor stays on its job."""
        jobs = self._known()
        counts = {state: sum(job.state is state for job in jobs) for state in _ORDER}
        counts[State.DONE] = self._done
        jobs = [
            job
            for state in _ORDER
            for job in [job for job in jobs if job.state is state][:_MOST_OF_A_STATE]
        ]
        now, retry = clock.now(), key_of(self.app, "harvest.retry")
        entry = partial(
            job_entry,
            now=now,
            width=self.line_width,
            ascii_only=self.ascii_only,
            retry_key=retry,
        )
        self.show_rows([(job, entry(job)) for job in jobs])
        self._say_trouble(any_jobs=bool(jobs))
        title = self.query_one(TitleBar)
        title.detail = ", ".join(
            f"{count} {state.value}" for state, count in counts.items() if count
        )
        title.aside = self._worker()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only what applies is offered."""
        if action == "retry":
            job = self.chosen
            return job is not None and job.state in _RETRIED
        if action == "start_or_stop":
            return self._missing is None
        return True

    def _known(self) -> list[JobState]:
        """What the ledger knows, and the jobs that wait without it having heard of them."""
        jobs: list[JobState] = []
        self._unread = None
        try:
            jobs = self._ledger.jobs(most_done=_MOST_OF_A_STATE)
            self._done = self._ledger.models_made()
        except LoraTuiError as error:
            self._unread = error
        waiting = {job.id: job for job in jobs_without_model(self.db, limit=_MOST_WAITING)}
        known = [
            replace(job, name=_name_of(waiting[job.job_id]))
            if job.job_id in waiting and not job.name
            else job
            for job in jobs
        ]
        found = {job.job_id for job in jobs}
        return known + [_waiting(job) for job in waiting.values() if job.id not in found]

    def action_start_or_stop(self) -> None:
        """Start the worker, or have it stop after the file in hand."""
        if self._harvest.running and not self._harvest.stopping:
            self._harvest.stop()
        else:
            try:
                self._harvest.start()
            except LoraTuiError as error:
                self.lora.show_error(error)
        self.poll_ledger()

    def action_retry(self) -> None:
        """Try the highlighted job again."""
        job = self.chosen
        if job is not None and job.state in _RETRIED:
            self._retry([job])

    def action_retry_all(self) -> None:
        """Try all that failed again."""
        jobs = [job for job in self._known() if job.state in _RETRIED]
        if jobs:
            self._retry(jobs)
        else:
            self.notify("No job has failed")

    def open_row(self, row: JobState) -> None:
        """Show the model that was made of it."""
        if row.artifact_id is not None:
            self.open_model(row.artifact_id)

    def _retry(self, jobs: list[JobState]) -> None:
        self.lora.ask(partial(self._harvest.retry, [job.job_id for job in jobs]))
        when = "now" if self._harvest.running else "by the next cycle"
        self.notify(f"{len(jobs)} to be tried again {when}")

    def _worker(self) -> str:
        if self._harvest.stopping:
            return "background: stops after this file"
        if self._harvest.running:
            return "background: on"
        return "background: failed" if self._harvest.error else "background: off"

    def say_empty(self, panel: StatePanel) -> None:
        """Where jobs come from."""
        if self._harvest.running:
            panel.show_message("No jobs are waiting", "Completed jobs appear here by themselves")
        else:
            sync, start = key_of(self.app, "app.sync"), key_of(self.app, "harvest.start")
            panel.show_message(
                "No jobs are waiting",
                f"A sync brings what the cache does not know yet: {sync}",
                f"{start} harvests in the background; on a server, lora-tui --harvest does",
            )

    def _say_trouble(self, *, any_jobs: bool) -> None:
        """Why nothing is harvested here, below the list or instead of it."""
        panel = self.query_one(StatePanel)
        panel.set_class(any_jobs, "-small")
        trouble = self._unread or self._harvest.error or self._missing
        if self._harvest.running:
            trouble = self._unread
        if trouble is not None:
            lines = [line for line in (trouble.details, trouble.remedy) if line]
            if trouble is self._missing:
                lines.append("or leave it to a server: there, lora-tui --harvest makes the models")
            panel.display = True
            panel.show_message(str(trouble), *lines, warning=True)


def _waiting(job: Job) -> JobState:
    """A job that no harvest of this machine has looked at."""
    return JobState(
        job_id=job.id,
        external_job_id=job.external_job_id or "",
        name=_name_of(job),
        completed_at=job.completed_at,
        state=State.WAITING,
        attempts=0,
        next_try=None,
        reason=None,
        details=None,
        remedy=None,
        stars=None,
        artifact_id=None,
        updated_at=None,
    )


def _name_of(job: Job) -> str:
    """What one knows a job by before it has a model."""
    parts = [job.dataset_name or job.external_job_id or job.id, job.preset_id]
    return " - ".join(part for part in parts if part)
