"""Harvest: what becomes of completed jobs on this machine; why some failed, and another try."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import names_of
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.background import BackgroundHarvest
from lora_tui.harvest.ledger import FileState, JobState, State
from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.widgets.cells import settled
from lora_tui.widgets.key_bar import KeyBar
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.status_bar import StatusBar
from lora_tui.widgets.title_bar import TitleBar

_POLL_SECONDS: Final = 0.5
_AGE_SECONDS: Final = 15.0
_MOST_OF_A_STATE: Final = 100
_ORDER: Final = (State.RUNNING, State.FAILED, State.DEAD, State.WAITING, State.DONE)
_SIGNS: Final = {
    State.RUNNING: ("↻", "~", "$primary"),
    State.FAILED: ("!", "!", "$text-warning"),
    State.DEAD: ("✗", "x", "$text-error"),
    State.WAITING: ("○", "o", "$secondary"),
    State.DONE: ("●", "*", "$text-success"),
}


class JobList(OptionList, inherit_bindings=False):
    """The list; its keys stand in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Open", tooltip="Open the model of a finished job"),
        Binding("j,down", "cursor_down", "Next", show=False),
        Binding("k,up", "cursor_up", "Previous", show=False),
        Binding("pagedown", "page_down", "Next page", show=False),
        Binding("pageup", "page_up", "Previous page", show=False),
        Binding("g,home", "first", "First", show=False),
        Binding("G,end", "last", "Last", show=False),
    ]


class HarvestScreen(CacheScreen):
    """Reads the ledger, and nothing else; what is to be done it asks the harvest for."""

    CSS_PATH = "harvest.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("h", "back", "Back", show=False),
        Binding(
            "b", "start_or_stop", "Start/stop", tooltip="Harvest in the background, or stop it"
        ),
        Binding("x", "retry", "Retry", tooltip="Try the failed job again"),
        Binding("X", "retry_all", "Retry all", show=False, tooltip="Try all failed jobs again"),
    ]

    def __init__(self, harvest: BackgroundHarvest) -> None:
        """Open the ledger. Raises DiskError."""
        super().__init__()
        self._harvest = harvest
        self._ledger = harvest.open_ledger()
        self._jobs: list[JobState] = []
        self._shown: tuple[object, ...] = ()
        self._missing = harvest.missing

    def compose(self) -> ComposeResult:
        """The jobs, or what to do so that there are some."""
        yield TitleBar("Harvest", ascii_only=self.ascii_only)
        yield JobList(id="jobs", markup=False)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the list, and look again and again."""
        self.refresh_list()
        self.set_interval(_POLL_SECONDS, self.poll_ledger)
        self.set_interval(_AGE_SECONDS, self.refresh_list)
        self.query_one(OptionList).focus()

    def on_unmount(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """The status bar tells of syncs."""
        del topics
        self.query_one(StatusBar).refresh()

    def poll_ledger(self) -> None:
        """Show what has changed since."""
        harvest = self._harvest
        state = (self._ledger.version(), harvest.running, harvest.stopping, harvest.error)
        if state != self._shown:
            self._shown = state
            self.refresh_list()

    def refresh_list(self) -> None:
        """Read the list anew; the cursor stays on its job."""
        listing = self.query_one(OptionList)
        chosen = self._chosen()
        jobs = self._ledger.jobs()
        counts = {state: sum(job.state is state for job in jobs) for state in _ORDER}
        self._jobs = [
            job
            for state in _ORDER
            for job in [job for job in jobs if job.state is state][:_MOST_OF_A_STATE]
        ]
        now = clock.now()
        listing.clear_options()
        listing.add_options([Option(self._entry(job, now)) for job in self._jobs])
        ids = [job.job_id for job in self._jobs]
        if ids:
            listing.highlighted = ids.index(chosen.job_id) if chosen and chosen.job_id in ids else 0
        listing.display = bool(ids)
        title = self.query_one(TitleBar)
        title.detail = " · ".join(
            f"{count} {state.value}" for state, count in counts.items() if count
        )
        title.aside = self._worker()
        self._say_empty(bool(ids))

    def action_back(self) -> None:
        """To where one came from."""
        self.dismiss()

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
        job = self._chosen()
        if job is None or job.state not in (State.FAILED, State.DEAD):
            self.notify("That job did not fail", severity="warning")
            return
        self._retry([job])

    def action_retry_all(self) -> None:
        """Try all that failed again."""
        jobs = [job for job in self._ledger.jobs() if job.state in (State.FAILED, State.DEAD)]
        if jobs:
            self._retry(jobs)
        else:
            self.notify("No job has failed")

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        job = self._jobs[event.option_index]
        if job.artifact_id is None:
            return
        if job.artifact_id not in names_of(self.db, [job.artifact_id]):
            self.notify("That model is not in the cache; r syncs", severity="warning")
        else:
            self.lora.open_model(job.artifact_id)

    def _retry(self, jobs: list[JobState]) -> None:
        self.lora.ask(partial(self._harvest.retry, [job.job_id for job in jobs]))
        when = "now" if self._harvest.running else "by the next cycle"
        self.notify(f"{len(jobs)} to be tried again {when}")

    def _chosen(self) -> JobState | None:
        index = self.query_one(OptionList).highlighted
        return self._jobs[index] if index is not None and index < len(self._jobs) else None

    def _worker(self) -> str:
        if self._harvest.stopping:
            return "background: stops after this file"
        if self._harvest.running:
            return "background: on"
        return "background: failed" if self._harvest.error else "background: off"

    def _say_empty(self, any_jobs: bool) -> None:
        panel = self.query_one(StatePanel)
        trouble = self._harvest.error or self._missing
        panel.display = not any_jobs or (trouble is not None and not self._harvest.running)
        panel.set_class(any_jobs, "-small")
        if trouble is not None and not self._harvest.running:
            panel.say(str(trouble), *([trouble.remedy] if trouble.remedy else []), warning=True)
        elif self._harvest.running:
            panel.say("No jobs are waiting", "Completed jobs appear here by themselves")
        else:
            panel.say(
                "Nothing is known of any job yet",
                "b harvests in the background; on a server, lora-tui --harvest does",
            )

    def _entry(self, job: JobState, now: datetime) -> Content:
        sign, plain, style = _SIGNS[job.state]
        name = settled(job.name or job.external_job_id, ascii_only=self.ascii_only)
        parts: list[tuple[str, str]] = [
            (f"{plain if self.ascii_only else sign} ", style),
            (name, "bold $primary" if job.state is not State.DONE else "$primary"),
            (f"  {job.state.value}", style),
        ]
        for line in self._lines(job, now):
            parts.append((f"\n  {settled(line, ascii_only=self.ascii_only)}", "$secondary"))
        return Content.assemble(*parts)

    def _lines(self, job: JobState, now: datetime) -> list[str]:
        match job.state:
            case State.RUNNING:
                return [_progress(file) for file in job.files] or ["asking the worker"]
            case State.FAILED | State.DEAD:
                reason = f"{job.reason} ({job.details})" if job.details else str(job.reason)
                tries = "1 try" if job.attempts == 1 else f"{job.attempts} tries"
                lines = [reason, " · ".join((tries, _next(job, now)))]
                return [*lines, job.remedy] if job.state is State.DEAD and job.remedy else lines
            case State.DONE:
                ended = formats.age(job.updated_at, now)
                return [f"{formats.score(job.stars)} stars · harvested {ended}"]
            case _:
                return [f"completed {formats.age(job.completed_at, now)}"]


def _progress(file: FileState) -> str:
    if file.stored:
        return f"{file.name}  {formats.size(file.total)}  stored"
    if not file.total:
        return f"{file.name}  {formats.size(file.done)}"
    share = 100 * file.done // file.total
    return f"{file.name}  {share} % of {formats.size(file.total)}"


def _next(job: JobState, now: datetime) -> str:
    if job.next_try is None:
        return "not tried again by itself; x does"
    seconds = (job.next_try - now).total_seconds()
    return f"tried again in {formats.duration(seconds)}" if seconds > 0 else "tried again next"
