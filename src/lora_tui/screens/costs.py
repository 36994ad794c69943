"""Costs: what runs have cost, in groups with bars; enter opens the jobs of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.costs import read_costs, why_unread
from lora_tui.cache.job_query import JobQuery
from lora_tui.cache.metadata import get_sync_state
from lora_tui.reports.cost_table import TableRow, cost_rows
from lora_tui.reports.costs import By, Costs, Group, Line, Period, money, remarks
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.screen_bars import StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel, recovery_hint

_BEFORE: Final = timedelta(microseconds=1)
"""The end of the month before is this much before the start of a month."""
_MOST_LINES: Final = 500
"""A list of more would take long to draw; they are sorted by cost, or the newest come first."""


class _PeriodChoice(NamedTuple):
    """A period that can be chosen."""

    name: str
    at: Callable[[datetime], Period]
    """The period as it is at a moment, such as the month of that moment."""


def _since_month(ago: int, now: datetime) -> Period:
    """From the start of the calendar month so many months ago."""
    start = clock.month_start(now)
    for _ in range(ago):
        start = clock.month_start(start - _BEFORE)
    return Period(start)


def _last_month(now: datetime) -> Period:
    return Period(_since_month(1, now).start, clock.month_start(now))


_PERIODS: Final = (
    _PeriodChoice("all time", lambda _now: Period()),
    _PeriodChoice("this month", partial(_since_month, 0)),
    _PeriodChoice("last month", _last_month),
    _PeriodChoice("last 3 months", partial(_since_month, 2)),
    _PeriodChoice("last 12 months", partial(_since_month, 11)),
)


class CostList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open jobs", tooltip="Show the jobs of this line"),
        *LIST_KEYS,
    ]


class CostsScreen(ListScreen[Line]):
    """What runs have cost, from the cache; keys change what is grouped, and the period."""

    ABOUT = (
        "What runs have cost. RUN COST is what the jobs say, RECORDS what was billed."
        " A run whose GPU time was billed counts with its records alone."
    )
    CSS_PATH = ["list_screen.tcss", "costs.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Costs"
    TOPICS = frozenset({Topic.JOBS, Topic.COSTS, Topic.DATASETS})
    STARTS_AT_TOP = True
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.costs", "back", "Back", show=False),
        bound("costs.by", "group(1)", "Group by", tooltip="Group by the next kind"),
        bound(
            "costs.by_back",
            "group(-1)",
            "Previous group",
            show=False,
            tooltip="Group by the one before",
        ),
        bound("costs.period", "period(1)", "Period", tooltip="Choose the next period"),
        bound(
            "costs.period_back",
            "period(-1)",
            "Previous period",
            show=False,
            tooltip="Choose the period before",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._by, self._period = By.MONTH, _PERIODS[0]
        self._costs: Costs | None = None

    def compose_list(self) -> ComposeResult:
        """The totals and headings, and the list."""
        yield Static(id="cost-heading", markup=False)
        yield CostList(id="costs", markup=False)

    def identity(self, row: Line) -> Group:
        """What the runs of the line have in common."""
        return row.group

    def refresh_list(self) -> None:
        """Read the sums again, beside the event loop: there may be very many jobs."""
        query = partial(read_costs, by=self._by, period=self._period.at(clock.now()))
        self.read(query, self._show, exclusive="costs")

    def on_resize(self, event: Resize) -> None:
        """Draw the lines in their new width."""
        del event
        self.call_after_refresh(self.while_alive(self._draw))

    def action_group(self, step: int) -> None:
        """Group by the next kind, or by the one before."""
        kinds = list(By)
        self._by = kinds[(kinds.index(self._by) + step) % len(kinds)]
        self.query_one(CostList).was_moved = False
        self.refresh_list()

    def action_period(self, step: int) -> None:
        """Choose the next period, or the one before."""
        self._period = _PERIODS[(_PERIODS.index(self._period) + step) % len(_PERIODS)]
        self.refresh_list()

    @property
    def can_select(self) -> bool:
        """Whether the line has runs to show."""
        return self.chosen is not None and self._jobs_of(self.chosen) is not None

    def open_row(self, row: Line) -> None:
        """Show the jobs of the line."""
        query = self._jobs_of(row)
        if query is not None:
            self.lora.open_jobs(query)

    def _jobs_of(self, line: Line) -> JobQuery | None:
        """The query that finds the jobs of a line; None if none does."""
        value, costs = line.group.value, self._costs
        if costs is None or value is None or not line.sums.runs:
            return None
        start, before = costs.period
        if costs.by is By.MONTH:
            month = clock.local_day(f"{value}-01")
            if month is None:
                return None
            following = clock.next_month(month)
            start = month if start is None else max(start, month)
            before = following if before is None else min(before, following)
        query = JobQuery(created_from=start, created_before=before)
        match costs.by:
            case By.DATASET:
                has_no_name = line.label.endswith((f"({value[:8]})", f" {value[:8]}"))
                return query._replace(dataset=value if has_no_name else line.label)
            case By.PRESET:
                return query._replace(preset=value)
            case By.GPU:
                return query._replace(gpu=value)
            case By.BASE_MODEL:
                return query._replace(base_model=value)
            case By.STATUS:
                return query._replace(statuses=frozenset({value}))
        return query

    def say_empty(self, panel: StatePanel) -> None:
        """Say why there is nothing."""
        state, sync = get_sync_state(self.db), key_of(self.app, "app.sync")
        if self._period is not _PERIODS[0]:
            period = key_of(self.app, "costs.period")
            panel.show_message(
                f"No runs in this period: {self._period.name}", f"{period} chooses another period"
            )
        elif state.error is not None and state.last_success is None:
            hint = recovery_hint(self.app, signed_out=self.lora.login_refused)
            panel.show_message("Nothing to show yet", state.error, hint, warning=True)
        elif state.last_success is None:
            panel.show_message("Never synced", "This cache is empty", f"{sync} fetches your jobs")
        else:
            panel.show_message(
                "No runs yet", "Costs appear here when a job has started", f"{sync} syncs again"
            )

    def _show(self, costs: Costs) -> None:
        self._costs = costs
        self._draw()

    def _draw(self) -> None:
        costs = self._costs
        if costs is None:
            return
        rows = cost_rows(
            costs,
            self.line_width,
            ascii_only=self.ascii_only,
            clean=partial(normalize_width, ascii_only=self.ascii_only),
        )
        pairs = zip(costs.lines[:_MOST_LINES], rows[1:], strict=False)
        lines: list[tuple[Line | None, Content]] = [(line, _content(row)) for line, row in pairs]
        more = len(costs.lines) - len(lines)
        if more:
            lines.append((None, Content.styled(f"and {more:,} more", "$secondary")))
        self.show_rows(lines)
        heading = self.query_one("#cost-heading", Static)
        heading.display = not costs.is_empty
        heading.update(self._heading(costs, rows))
        title = self.query_one(TitleBar)
        title.detail = f"by {costs.by.words}"
        title.aside = self._period.name
        self.query_one(StatusBar).note = f"{money(costs.total.counted)} in all"

    def _heading(self, costs: Costs, rows: list[TableRow]) -> Content:
        """The remarks, the total and the headings of the columns."""
        width = self.line_width
        said = remarks(costs)
        unread = why_unread(self.db)
        parts: list[tuple[str, str]] = []
        if unread is not None:
            text = f"The cost records could not be read, only the jobs count: {unread}"
            parts += _paragraph(
                normalize_width(text, ascii_only=self.ascii_only), width, "$text-warning"
            )
        if said:
            between = " - " if self.ascii_only else " · "
            text = between.join(said)
            parts += _paragraph(text[0].upper() + text[1:], width, "$secondary")
        parts.append((f"{rows[-1].text}\n", "bold $foreground"))
        parts.append((rows[0].text, "$secondary"))
        return Content.assemble(*parts)


def _paragraph(text: str, width: int, style: str) -> Iterator[tuple[str, str]]:
    """The lines of a text; none begins with what separates two sentences."""
    for line in wrap(text, width):
        yield f"{line.removeprefix('· ').removeprefix('- ')}\n", style


def _content(row: TableRow) -> Content:
    parts = [
        (row.label, "$foreground 90%"),
        (row.numbers, "$secondary"),
        (row.total, "bold $foreground"),
    ]
    shown = [part for part in parts if part[0]]
    spans = [shown[0]]
    for _, part in pairwise(shown):
        spans += [("  ", ""), part]
    return Content.assemble(*spans, ("  ", ""), (row.bar, "$primary"))
