"""Base class of the screens with the charts of all metrics of one run: reads it, follows it."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import ClassVar, Final

from textual.binding import BindingType

from lora_tui import formats
from lora_tui.cache.live_curves import lacks_earlier
from lora_tui.cache.metric_columns import (
    Points,
    ReadRun,
    Totals,
    read_metrics,
    read_newer,
    read_reduced,
    totals_of,
)
from lora_tui.cache.runs import get_run_version
from lora_tui.cache.thinning import thinned_points
from lora_tui.curves.metrics_series import Axis
from lora_tui.errors import LoraTuiError
from lora_tui.screens.chart_screen import ChartScreen
from lora_tui.screens.chosen_metrics import ChosenMetricsScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.charts.metric_charts import MetricCharts

METRICS_ACTIONS: Final = frozenset({"axis", "metrics"})
"""Actions that need a run."""
METRICS_KEYS: Final[tuple[BindingType, ...]] = (
    bound("metrics.axis", "axis", "Axis", tooltip="Show steps, epochs, time or percent of the run"),
    bound("metrics.choose", "metrics", "Metrics", tooltip="Choose which metrics are drawn"),
)
"""For the BINDINGS of the screen, at their place in the footer."""


class MetricsScreen(ChartScreen):
    """Call `follow_run`, and `read_run` when points have come; override `run_read`."""

    BINDINGS: ClassVar[list[BindingType]] = []

    _run_job: str = ""
    _read: ReadRun | None = None
    _version: object = None
    """The version of the run that was read, or is being read."""
    _totals: Totals | None = None
    """How long that run is to be."""
    _points_state: str | None = "loading curve…"
    """The text that is shown instead of missing charts; None where there are no points."""

    @property
    def chart(self) -> MetricCharts:
        """The charts."""
        return self.query_one(MetricCharts)

    @property
    def nothing_logged(self) -> str:
        """Said of a run without points."""
        return "No metric points were logged for this run"

    @property
    def instead_of_charts(self) -> str:
        """The text that is shown while there is nothing to draw."""
        return self.nothing_logged if self._points_state is None else self._points_state

    def run_read(self) -> None:
        """Called after points were read, or could not be fetched."""

    def follow_run(self, job_id: str) -> None:
        """Show the points of this job that are cached, and fetch those that are missing."""
        self._run_job = job_id
        state = self.lora.view_state
        self.chart.hidden = frozenset(state.hidden_metrics)
        if state.metric_axis in list(Axis):
            self.chart.axis = Axis(state.metric_axis)
        self.chart.show(read_reduced(self.db, job_id), otherwise=self.instead_of_charts)
        self.read_run()
        self._fetch_points()

    def read_run(self) -> None:
        """Read, in a thread, what has changed since the last time."""
        version, totals = get_run_version(self.db, self._run_job), totals_of(self.db, self._run_job)
        if version is None or (version, totals) == (self._version, self._totals):
            return
        known = self._read if totals == self._totals else None
        self._version, self._totals = version, totals
        if known is None or known.position is None:
            read = partial(read_metrics, job_id=self._run_job)
            self.read(read, self._take_run, exclusive="run")
            return
        position, points = known.position, len(known.run)

        def newer(db: sqlite3.Connection) -> ReadRun | list[Points]:
            found = read_newer(db, self._run_job, position, points)
            return read_metrics(db, self._run_job) if found is None else found

        self.read(newer, self._take_newer, exclusive="run")

    def _take_newer(self, found: ReadRun | list[Points]) -> None:
        if isinstance(found, ReadRun):
            self._take_run(found)
            return
        if self._read is None:
            return
        run = self._read.run
        for points in found:
            run.add(points.steps, points.epochs, points.seconds, points.values)
            self._read = ReadRun(run, points.position)
        self._take_run(self._read)

    def _take_run(self, read: ReadRun) -> None:
        self._read = read
        self.chart.note = self._points_note()
        self.chart.show(read.run, otherwise=self.instead_of_charts)
        self.run_read()
        self.refresh_bindings()

    def _points_note(self) -> str:
        """Which points of the run are missing; empty if all are there."""
        thinned = thinned_points(self.db, self._run_job)
        if thinned is not None:
            kept, logged = map(formats.count, thinned)
            return f"thinned: {kept} of {logged} points"
        return "earlier points follow" if lacks_earlier(self.db, self._run_job) else ""

    def _fetch_points(self) -> None:
        """Fetch new points; an error is shown only instead of missing charts."""

        def fetched(_: None) -> None:
            self._points_fetched(None)

        def failed(error: LoraTuiError) -> None:
            reason = f"The curve can't be loaded: {error}\n{self.lora.remedy_of(error)}"
            self._points_fetched(reason.rstrip())

        load = partial(self.lora.writers.load_curve, self._run_job)
        self.start(load, fetched, failed=failed, name="curve")

    def _points_fetched(self, state: str | None) -> None:
        self._points_state = state
        self.lora.poll_cache()
        self.read_run()
        if self._read is not None or not self.chart.has_curve:
            run = self._read.run if self._read else None
            self.chart.show(run, otherwise=self.instead_of_charts)
        self.run_read()
        self.refresh_bindings()

    def action_axis(self) -> None:
        """Show the next of steps, epochs, time and percent of the run; remembered."""
        axis = self.chart.next_axis()
        self.lora.remember(self.lora.view_state._replace(metric_axis=axis.value))

    def action_metrics(self) -> None:
        """Choose which metrics are drawn; remembered."""
        chart = self.chart

        def changed(hidden: frozenset[str]) -> None:
            chart.hidden = hidden
            names = tuple(sorted(hidden))
            self.lora.remember(self.lora.view_state._replace(hidden_metrics=names))
            self.refresh_bindings()

        self.app.push_screen(
            ChosenMetricsScreen(chart.every_chart, chart.hidden, self.while_alive(changed))
        )
