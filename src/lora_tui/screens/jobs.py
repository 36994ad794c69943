"""Jobs: what trains, what waits, what failed and why, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from lora_tui.cache.changes import Topic
from lora_tui.cache.facets import JOBS, count_all
from lora_tui.cache.job_query import JobQuery, natural_direction
from lora_tui.cache.jobs import JobList, count_active
from lora_tui.cache.metadata import SyncState, get_sync_state
from lora_tui.cache.recent_steps import recent_steps
from lora_tui.screens.cancel_job import ask_to_cancel, can_cancel
from lora_tui.screens.jobs_text import (
    DIRECTIONS,
    SORT_NAMES,
    counts_text,
    list_note,
    query_text,
    show_empty_state,
)
from lora_tui.screens.table_screen import TableScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.job_columns import JOB_COLUMNS, JobRow
from lora_tui.widgets.job_table import JobTable
from lora_tui.widgets.row_view import Rows
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar

_TICK_SECONDS: Final = 0.25
_PARTS: Final = 8
"""Each line of a running job is drawn every two seconds, an eighth of them at a time: a key waits
for few."""
_LISTED: Final = frozenset({Topic.JOBS, Topic.DATASETS})
"""Changes of these topics may change which jobs are listed, and their order."""


class JobsScreen(TableScreen):
    """Training jobs of every status; the query (order, search, filters) is this screen's state."""

    CLEARS = "screen.back"
    SORT_NAMES, DIRECTIONS, COLUMNS = SORT_NAMES, DIRECTIONS, JOB_COLUMNS
    SEARCHED = "dataset, base model, preset, GPU, status, id"
    ABOUT = (
        "Training jobs of every status, from the local cache. The time left is estimated from the"
        " pace of the last minutes."
    )
    CSS_PATH = "jobs.tcss"
    AUTO_FOCUS = "JobTable"
    LEAST_WIDTH, LEAST_HEIGHT = 40, 10
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "reset", "Clear", tooltip="Clear the search or the filters"),
        bound("screen.back", "back", "Back"),
        bound("app.jobs", "back", "Back", show=False),
        bound("models.search", "search", "Search", key_display="/", tooltip="Search as you type"),
        bound("models.sort", "sort", "Sort", tooltip="Choose the order of the list"),
        bound("models.reverse", "reverse", "Reverse", show=False, tooltip="Reverse the order"),
        bound("models.filter", "filter", "Filter", tooltip="Filter the list"),
        bound("job.model", "model", "Model", tooltip="Show the model that the job made"),
        bound("job.cancel", "cancel", "Cancel", tooltip="Stop the job, after a question"),
        bound(
            "models.columns",
            "columns",
            "Columns",
            show=False,
            tooltip="Choose the columns of the table",
        ),
        bound("models.copy_id", "copy_id", "Copy id", show=False, tooltip="Copy the id of the job"),
    ]

    def __init__(self, narrowed: JobQuery | None = None) -> None:
        """`narrowed`: the filters to begin with."""
        super().__init__()
        self.rows: Rows[JobRow] = Rows(self._fetch)
        self.job_query = narrowed or JobQuery()
        self._list: JobList | None = None
        self._everything = 0
        self._ticking: Timer | None = None
        """Draws the running jobs again; paused while none runs."""
        self._part = 0
        """Of `_PARTS`: the lines that were drawn last."""
        self._has_new_points = False
        """Whether there are points that the rows do not have yet."""
        self._draws_everything = False
        self.is_ticking = False
        """Whether the times of running jobs go on."""

    def compose(self) -> ComposeResult:
        """Title, list, status, keys."""
        yield TitleBar("Jobs", ascii_only=self.ascii_only)
        yield JobTable(self.rows, ascii_only=self.ascii_only, id="jobs")
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the list, in the order of the last run."""
        state = self.lora.view_state
        self.job_query = self.job_query._replace(sort=state.jobs_sort, reverse=state.jobs_reverse)
        self.view.columns = JOB_COLUMNS.valid_keys(state.jobs_columns)
        self._ticking = self.set_interval(_TICK_SECONDS, self.while_alive(self._tick), pause=True)
        self.refresh_list()
        self.view.focus()

    @property
    def view(self) -> JobTable:
        """The list."""
        return self.query_one(JobTable)

    def shows(self, narrowed: JobQuery) -> bool:
        """Whether it shows the jobs that match, in any order."""
        asked = self.job_query._replace(sort=narrowed.sort, reverse=narrowed.reverse)
        return asked == narrowed

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Offer only actions that apply."""
        if action == "reset":
            return not self.job_query.is_everything
        if action == "back":
            return True
        if action == "copy_id":
            return self.rows.current is not None
        if action == "model":
            return self.rows.current is not None and self.rows.current.job.artifact_id is not None
        if action == "cancel":
            return self.rows.current is not None and can_cancel(self.rows.current.job)
        return not (action == "search" and self.is_searching)

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the cache."""
        self.query_one(StatusBar).update_from_cache()
        if topics & _LISTED:
            self.refresh_list()
        elif Topic.CURVES in topics and self.is_ticking:
            self._has_new_points = True
        elif Topic.CURVES in topics:  # the jobs and their order are the same
            self._show_list()
        if Topic.SYNC in topics:
            self._show_states()

    def refresh_list(self) -> None:
        """Read the list again; the cursor stays on its job."""
        query = self.job_query
        self._list = JobList(self.db, query)
        self._everything = count_all(self.db, JOBS)
        self._show_list()
        self._show_states()

    def _show_list(self) -> None:
        if self._list is None:
            return
        query = self.job_query
        self.view.reload(
            self._list.total,
            sort=query.sort,
            descending=natural_direction(query.sort) is not query.reverse,
            locate=self._list.position,
        )
        self.refresh_bindings()

    def _show_states(self) -> None:
        """Update title, banner, empty state and note."""
        query, state = self.job_query, get_sync_state(self.db)
        running, queued = count_active(self.db)
        title = self.query_one(TitleBar)
        counts = counts_text(running, queued, self._everything)
        # the search bar shows the searched text
        narrowed = query_text(query._replace(search=""))
        title.detail = " · ".join(part for part in (counts, narrowed) if part)
        title.aside = self.order_text
        self.query_one(StatusBar).note = list_note(self.rows.total, self._everything)
        self.show_banner(state)
        self._show_empty(state)
        if self._ticking is not None:
            self.is_ticking = running > 0
            if running:
                self._ticking.resume()
            else:
                self._ticking.pause()

    def _show_empty(self, state: SyncState) -> None:
        query, is_empty = self.job_query, self.rows.total == 0
        loading = is_empty and query.is_everything and self.is_loading(state)
        self.view.skeleton = loading
        self.set_class(loading, "-loading")
        self.set_class(is_empty and not loading, "-empty")
        panel = self.panel_for_empty_list(is_empty=is_empty)
        if panel is not None:
            show_empty_state(
                panel,
                self.app,
                query,
                state,
                loading=loading,
                keyring=self.lora.writers.report.waits_for_keyring,
                signed_out=self.lora.login_refused,
            )

    def _tick(self) -> None:
        """Let the times of running jobs go on, while they can be seen; show their new points.

        Points of many runs come one after the other, so they are read once for all lines.
        """
        if self.is_covered:
            return
        self._part = (self._part + 1) % _PARTS
        if self._part == 0:
            self._draws_everything, self._has_new_points = self._has_new_points, False
            if self._draws_everything and self._list is not None:
                self.rows.reload(self.rows.total, self._list.position, at_top=False)
        self.view.tick(self._part, _PARTS, everything=self._draws_everything)

    def _fetch(self, offset: int, limit: int) -> Sequence[JobRow]:
        found = self._list.window(offset, limit) if self._list else []
        rows = (JobRow(summary.job, summary.sparkline, ()) for summary in found)
        return [
            row._replace(recent=tuple(recent_steps(self.db, row.id))) if row.is_running else row
            for row in rows
        ]

    def search_for(self, text: str) -> None:
        """Show the jobs that contain the text."""
        self.ask(self.job_query._replace(search=text.strip()))

    def action_reset(self) -> None:
        """Clear the search; if there is none, the filters; if there are none, go back."""
        if self.job_query.search:
            self.search_bar.clear()
            self.ask(self.job_query._replace(search=""))
        elif not self.job_query.is_everything:
            self.ask(self.job_query.unfiltered)
        else:
            self.dismiss()

    def action_back(self) -> None:
        """Close this screen."""
        self.dismiss()

    def action_filter(self) -> None:
        """Open the filters; the list changes at once."""
        from lora_tui.screens.filters import FilterScreen
        from lora_tui.screens.job_filters import read_job_sections

        query = self.job_query
        sections = read_job_sections(self.db, query)
        self.app.push_screen(FilterScreen(sections, query, self.while_alive(self.ask)))

    def columns_chosen(self, keys: tuple[str, ...]) -> None:
        """See `TableScreen.columns_chosen`."""
        self.lora.remember(self.lora.view_state._replace(jobs_columns=keys))

    def action_model(self) -> None:
        """Open the model of the job under the cursor."""
        row = self.rows.current
        if row is not None and row.job.artifact_id is not None:
            self.open_model(row.job.artifact_id)

    def action_cancel(self) -> None:
        """Ask whether to stop the job under the cursor."""
        row = self.rows.current
        if row is not None and can_cancel(row.job):
            ask_to_cancel(self.lora, row.job)

    @on(JobTable.Opened)
    def _opened(self, event: JobTable.Opened) -> None:
        self.open_job(event.row_id)

    @on(JobTable.Moved)
    def _moved(self) -> None:
        self.refresh_bindings()

    def on_screen_resume(self) -> None:
        """Show the times of this moment."""
        self.view.tick()

    @property
    def list_query(self) -> JobQuery:
        """See `TableScreen.list_query`."""
        return self.job_query

    def ask(self, query: JobQuery) -> None:
        """See `TableScreen.ask`."""
        if query != self.job_query:
            self.job_query = query
            state = self.lora.view_state
            kept = state._replace(jobs_sort=query.sort, jobs_reverse=query.reverse)
            self.lora.remember(kept)
            self.refresh_list()
