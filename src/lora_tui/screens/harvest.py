"""The Harvest screen: finished jobs whose results are imported as models, and retries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.jobs import jobs_without_model
from lora_tui.domain import Job
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.ledger_schema import JobState, State
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.tui.background_harvest import BackgroundHarvest
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.harvest_row import job_entry
from lora_tui.widgets.remedies import in_the_application
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel

_POLL_SECONDS: Final = 0.5
_AGE_SECONDS: Final = 15.0
_MOST_OF_A_STATE: Final = 100
_MOST_WAITING: Final = 1_000
_CAN_BE_RETRIED: Final = (State.FAILED, State.DEAD)
_ORDER: Final = (State.RUNNING, State.FAILED, State.DEAD, State.WAITING, State.DONE)


class JobList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open model", tooltip="Open the imported model"),
        *LIST_KEYS,
    ]


class HarvestScreen(ListScreen[JobState]):
    """Jobs of the cache without a model, and those in the ledger of this machine's harvest."""

    ABOUT = (
        "Finished jobs whose results are imported as models. The worker keeps a result for 30 min."
    )
    CSS_PATH = ["list_screen.tcss", "harvest.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Harvest"
    TOPICS = frozenset({Topic.JOBS, Topic.DATASETS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.harvest", "back", "Back", show=False),
        bound("harvest.start", "start", "Start", tooltip="Start importing in the background"),
        bound(
            "harvest.start",
            "stop",
            "Stop",
            tooltip="Stop importing in the background after the current file",
        ),
        bound("harvest.retry", "retry", "Retry", tooltip="Retry the failed import"),
        bound(
            "harvest.retry_all",
            "retry_all",
            "Retry all",
            show=False,
            tooltip="Retry all failed imports",
        ),
    ]

    def __init__(self, harvest: BackgroundHarvest) -> None:
        """Open the ledger. Raises DiskError."""
        super().__init__()
        self._harvest = harvest
        self._ledger = harvest.open_ledger()
        self._done = 0
        self._read_error: LoraTuiError | None = None
        """Why the ledger can't be read."""
        self._shown_state: tuple[object, ...] = ()
        self._config_error = harvest.missing
        self._expected: list[bool] = []
        """Whether it will run after each request that was not answered yet."""

    def compose_list(self) -> ComposeResult:
        """The list alone."""
        yield JobList(id="jobs", markup=False)

    def identity(self, row: JobState) -> str:
        """The job's id in the backend."""
        return row.job_id

    def on_mount(self) -> None:
        """Poll the ledger."""
        self.set_interval(_POLL_SECONDS, self.while_alive(self.poll_ledger))

    def on_unmount(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def poll_ledger(self) -> None:
        """Show what has changed, and refresh the ages regularly."""
        harvest = self._harvest
        version = None
        with suppress(LoraTuiError):  # reading the list shows the error
            version = self._ledger.version()
        age = int(clock.now().timestamp() // _AGE_SECONDS)
        state = (version, harvest.running, harvest.stopping, harvest.error, age)
        if state != self._shown_state:
            self._shown_state = state
            self.refresh_list()

    def refresh_list(self) -> None:
        """Read the list again; the cursor stays on its job."""
        jobs = self._read_jobs()
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
        self._show_problem(any_jobs=bool(jobs))
        title = self.query_one(TitleBar)
        title.detail = ", ".join(
            f"{formats.count(count)} {state.label}" for state, count in counts.items() if count
        )
        title.aside = self._background_text()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only the keys that apply."""
        if action == "retry":
            job = self.chosen
            return job is not None and job.state in _CAN_BE_RETRIED
        will_run = self._harvest.running and not self._harvest.stopping
        if self._expected:
            will_run = self._expected[-1]
        if action == "start":
            return self._config_error is None and not will_run
        return will_run if action == "stop" else True

    @property
    def can_select(self) -> bool:
        """Whether the job under the cursor has a model to open."""
        return self.chosen is not None and self.chosen.artifact_id is not None

    def _read_jobs(self) -> list[JobState]:
        """The jobs of the ledger, and those of the cache that it does not have."""
        jobs: list[JobState] = []
        self._read_error = None
        try:
            jobs = self._ledger.jobs(most_done=_MOST_OF_A_STATE)
            self._done = self._ledger.models_made()
        except LoraTuiError as error:
            self._read_error = error
        waiting = {job.id: job for job in jobs_without_model(self.db, limit=_MOST_WAITING)}
        known = [
            replace(job, name=_name_of(waiting[job.job_id]))
            if job.job_id in waiting and not job.name
            else job
            for job in jobs
        ]
        found = {job.job_id for job in jobs}
        jobs = known + [_waiting(job) for job in waiting.values() if job.id not in found]
        return [
            replace(job, remedy=in_the_application(self.app, job.remedy)) if job.remedy else job
            for job in jobs
        ]

    def action_start(self) -> None:
        """Start the background harvest."""
        self._ask(self._harvest.start, True, if_failed="Harvest not started")

    def action_stop(self) -> None:
        """Stop the background harvest after the current file."""
        self._ask(self._harvest.stop, False, if_failed="Harvest not stopped")

    def _ask(self, call: Callable[[], None], will_run: bool, *, if_failed: str) -> None:
        """Ask the engine; a next key may come before its answer, and is meant for what will be."""

        def ended() -> None:
            del self._expected[0]
            self.refresh_bindings()

        self._expected.append(will_run)
        self.lora.ask(call, if_failed=if_failed, ended=self.while_alive(ended), in_turn="harvest")

    def action_retry(self) -> None:
        """Retry the highlighted job."""
        job = self.chosen
        if job is not None and job.state in _CAN_BE_RETRIED:
            self._retry([job])

    def action_retry_all(self) -> None:
        """Retry all failed jobs."""
        jobs = [job for job in self._read_jobs() if job.state in _CAN_BE_RETRIED]
        if jobs:
            self._retry(jobs)
        else:
            self.notify("No import has failed")

    def open_row(self, row: JobState) -> None:
        """Open the model of a finished job."""
        if row.artifact_id is not None:
            self.open_model(row.artifact_id)

    def _retry(self, jobs: list[JobState]) -> None:
        ids = [job.job_id for job in jobs]
        self.lora.ask(partial(self._harvest.retry, ids), if_failed="Not retried")
        when = "now" if self._harvest.running else "in the next cycle"
        self.notify(f"{formats.counted(len(jobs), 'import')} will be retried {when}")

    def _background_text(self) -> str:
        if self._harvest.stopping:
            return "background: stopping"
        if self._harvest.running:
            return "background: on"
        return f"background: {'failed' if self._harvest.error else 'off'}"

    def say_empty(self, panel: StatePanel) -> None:
        """Explain where jobs come from."""
        if self._harvest.running:
            panel.show_message("Nothing to import", "Finished jobs appear here by themselves")
        else:
            sync, start = key_of(self.app, "app.sync"), key_of(self.app, "harvest.start")
            jobs = key_of(self.app, "app.jobs")
            panel.show_message(
                "Nothing to import",
                "The harvest imports the results of finished jobs; each becomes a model",
                f"Press {jobs} to see the jobs that are training, {sync} to sync",
                f"Press {start} to import in the background",
                "On a server, run lora-tui --harvest",
            )

    def _show_problem(self, *, any_jobs: bool) -> None:
        """Show why nothing is harvested, below the list or in its place."""
        panel = self.query_one(StatePanel)
        panel.set_class(any_jobs, "-small")
        trouble = self._read_error or self._harvest.error or self._config_error
        if self._harvest.running:
            trouble = self._read_error
        if trouble is not None:
            remedy = in_the_application(self.app, trouble.remedy or "")
            lines = [line for line in (trouble.details, remedy) if line]
            if trouble is self._config_error:
                lines.append("or run lora-tui --harvest on a server")
            panel.display = True
            panel.show_message(str(trouble), *lines, warning=True)


def _waiting(job: Job) -> JobState:
    """The state of a job that this machine's harvest has not seen."""
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
    """The name of a job before it has a model."""
    parts = [job.dataset_name or job.external_job_id or job.id, job.preset_id]
    return " - ".join(part for part in parts if part)
