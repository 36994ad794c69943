"""Compare: the curves of two to six models, and a table of their differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.metric_columns import logged_columns, read_metric
from lora_tui.cache.models import get_model
from lora_tui.cache.runs import Run, get_run, get_run_version
from lora_tui.curves.metrics_series import LOSS, VALIDATION
from lora_tui.curves.series import Series
from lora_tui.documents.comparison import read_document
from lora_tui.errors import LoraTuiError
from lora_tui.reports import LETTERS, MIN_COMPARED
from lora_tui.reports.compare import Comparison, compare_models, to_csv
from lora_tui.screens.chart_screen import CHART_ACTIONS, CHART_KEYS, ChartScreen, Scrolled
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.charts.overlay_chart import OverlayChart
from lora_tui.widgets.difference_table import (
    LABEL,
    ComparedModels,
    DifferenceHeader,
    DifferenceTable,
)
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel

_WIDE: Final = 120
_SHORT: Final = 20
_HIGH: Final = 34
_COLUMN: Final = 15
_NO_POINTS: Final = Series.from_points(())
_UNREAD: Final = Run(_NO_POINTS, None)
_SHOWN: Final = frozenset({Topic.MODELS, Topic.DATASETS, Topic.JOBS, Topic.CURVES})


class CompareScreen(ChartScreen):
    """Curves and table, side by side on a wide terminal, else one above the other."""

    CSS_PATH = "compare.tcss"
    ABOUT = "The loss curves of the marked models, overlaid, and a table of their differences."
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (_SHORT, "-short"), (_HIGH, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound(
            "compare.everything",
            "everything",
            "All",
            tooltip="Show all rows or only the differences",
        ),
        bound(
            "compare.reference",
            "reference",
            "Base",
            tooltip="Show differences from a chosen model",
        ),
        bound(
            "compare.validation",
            "metric",
            "Metric",
            tooltip="Show the next metric: losses, learning rate, gradient norm and others",
        ),
        bound(
            "compare.curves",
            "curves",
            "Curves",
            tooltip="Show or hide the curves",
        ),
        bound(
            "compare.shares",
            "shares",
            "Axis",
            tooltip="Show steps or percent of the run on the horizontal axis",
        ),
        *CHART_KEYS,
        bound(
            "compare.markdown",
            "export('md')",
            "Export",
            tooltip="Write the report as a Markdown file, for GitHub and Slack",
        ),
        bound(
            "compare.csv",
            "export('csv')",
            "CSV",
            show=False,
            tooltip="Write the table as a CSV file",
        ),
        bound("compare.copy", "copy", "Copy", show=False, tooltip="Copy the report as Markdown"),
    ]

    def __init__(self, model_ids: Sequence[str]) -> None:
        """Compare these, `MIN_COMPARED` to `MAX_COMPARED` of them, in this order."""
        super().__init__()
        self.model_ids = tuple(model_ids)
        self._comparison: Comparison | None = None
        self._everything = False
        self._reference: int | None = None
        """The index of the model from which differences are shown."""
        self._runs: dict[str, Run] = {}
        """The runs that were read, by job."""
        self._versions: dict[str, object] = {}
        self._metrics: dict[tuple[str, str], tuple[object, Series]] = {}
        """Version and values of other metrics than the losses, by job and metric."""
        self._is_loading = True
        """Whether curves are still to be fetched."""
        self._load_error = ""

    def compose(self) -> ComposeResult:
        """Title, curves with legend, table, status and keys."""
        ascii_only = self.ascii_only
        yield TitleBar("Compare", ascii_only=ascii_only)
        with Vertical(id="sides"):
            with Vertical(id="curves"):
                yield OverlayChart(ascii_only=ascii_only)
                yield ComparedModels(ascii_only=ascii_only)
            with Vertical(id="table"):
                yield DifferenceHeader(ascii_only=ascii_only)
                with Scrolled(id="rows"):
                    yield DifferenceTable(ascii_only=ascii_only)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is cached; fetch missing curves."""
        self._show()
        self._read_runs()
        models = self._comparison.models if self._comparison else ()
        jobs = [model.job_id for model in models if model.job_id]
        self._load_curves(jobs)

    def on_resize(self, event: events.Resize) -> None:
        """Give the table the width it needs, and the curves the rest."""
        super().on_resize(event)
        self._share_width(event.size.width)

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the cache."""
        if topics & _SHOWN:
            self._show()
            self._read_runs()
        self.query_one(StatusBar).update_from_cache()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Offer only actions that apply."""
        if action in CHART_ACTIONS:
            return self.is_mounted and self.chart.display and self.chart.has_curve
        return action == "back" or self._comparison is not None

    def action_back(self) -> None:
        """Go back to the list; the marks stay."""
        self.dismiss()

    def action_everything(self) -> None:
        """Show all rows, or only the differences."""
        self._everything = not self._everything
        self._show_table()

    def action_reference(self) -> None:
        """Show differences from the next model; after the last one, plain numbers."""
        models = len(self._comparison.models) if self._comparison else 0
        after = 0 if self._reference is None else self._reference + 1
        self._reference = after if after < models else None
        self.chart.front_curve = self._reference
        self._show_table()

    def action_curves(self) -> None:
        """Show or hide the curves."""
        self.chart.display = not self.chart.display
        self.refresh_bindings()

    def action_metric(self) -> None:
        """Show the next metric that one of the runs has logged; after the last one the losses."""
        models = self._comparison.models if self._comparison else ()
        jobs = [model.job_id for model in models if model.job_id]
        found = [name for name in logged_columns(self.db, jobs) if name not in LOSS.columns]
        metrics = [*LOSS.columns, *found]
        shown = self.chart.metric or LOSS.columns[self.chart.validation]
        at = metrics.index(shown) if shown in metrics else -1
        metric = metrics[(at + 1) % len(metrics)]
        self.chart.validation = metric == VALIDATION
        self.chart.metric = "" if metric in LOSS.columns else metric
        self._read_metric()
        self._show_curves()
        self.refresh_bindings()

    def _read_metric(self) -> None:
        """Read, in threads, the metric of the runs whose points were read."""
        metric = self.chart.metric
        if not metric:
            return
        for job_id, version in self._versions.items():
            key = (job_id, metric)
            if self._metrics.get(key, (None, None))[0] != version:
                self._metrics[key] = (version, self._metrics.get(key, (None, _NO_POINTS))[1])
                take = partial(self._take_metric, key, version)
                read = partial(read_metric, job_id=job_id, column=metric)
                self.read(read, take, exclusive=f"metric {job_id}")

    def _take_metric(self, key: tuple[str, str], version: object, series: Series) -> None:
        self._metrics[key] = (version, series)
        self._show_curves()

    def _show_curves(self) -> None:
        models, metric = self._comparison.models if self._comparison else (), self.chart.metric
        runs = [self._runs.get(model.job_id, _UNREAD) for model in models]
        curves = [run.series for run in runs]
        if metric:
            curves = [
                self._metrics.get((model.job_id, metric), (None, _NO_POINTS))[1] for model in models
            ]
        self.chart.show(curves, otherwise=self._no_curve_reason)
        self.refresh_bindings()

    def action_shares(self) -> None:
        """Show percent of the run or steps on the horizontal axis."""
        self.chart.toggle_percent()

    def action_export(self, suffix: str) -> None:
        """Write the report, or the shown table as CSV, into the downloads directory."""
        comparison, everything = self._comparison, self._everything
        if comparison is None:
            return
        name = f"comparison-{clock.local(clock.now()):%Y-%m-%d}.{suffix}"
        if suffix == "csv":
            self.export(name, lambda _: to_csv(comparison, everything=everything))
        else:
            self.export(name, self._document(comparison))

    def _document(self, comparison: Comparison) -> Callable[[Connection], str]:
        """What writes the report on the models with their curves, as Markdown."""
        return partial(read_document, comparison=comparison, everything=self._everything)

    def action_copy(self) -> None:
        """Copy the report as Markdown."""
        if self._comparison is not None:
            self.copy_made(self._document(self._comparison), what="Report as Markdown")

    @property
    def chart(self) -> OverlayChart:
        """The chart of all curves."""
        return self.query_one(OverlayChart)

    @property
    def scrolled(self) -> Scrolled:
        """The table."""
        return self.query_one("#rows", Scrolled)

    def _show(self) -> None:
        found = [get_model(self.db, model_id) for model_id in self.model_ids]
        models = [model for model in found if model is not None]
        gone = len(self.model_ids) - len(models)
        self.set_class(len(models) < MIN_COMPARED, "-gone")
        if len(models) < MIN_COMPARED:
            self._comparison = None
            self.query_one(StatePanel).show_message(
                "Nothing left to compare",
                "The models were deleted from the project, or are no longer yours.",
                f"Press {key_of(self.app, 'screen.back')} to go back.",
            )
            self.refresh_bindings()
            return
        runs = [self._runs.get(model.job_id, _UNREAD) for model in models]
        self._comparison = compare_models(models, [run.opinion for run in runs])
        if self._reference is not None and self._reference >= len(models):
            self._reference = self.chart.front_curve = None
        curves = [run.series for run in runs]
        without = frozenset(number for number, curve in enumerate(curves) if not len(curve))
        title = self.query_one(TitleBar)
        title.detail = f"{len(models)} models" + (f", {gone} not found" if gone else "")
        self._show_curves()
        self.query_one(ComparedModels).show(
            self._comparison, without, "loading…" if self._is_loading else "no curve"
        )
        self._show_table()
        self._share_width(self.size.width)
        self.refresh_bindings()

    def _show_table(self) -> None:
        if self._comparison is not None:
            table = self.query_one(DifferenceTable)
            base = self._reference
            table.show(self._comparison, everything=self._everything, reference=base)
            self.query_one(DifferenceHeader).show(self._comparison, base)
            what = "all rows" if self._everything else "only differences"
            against = "" if base is None else f", relative to {LETTERS[base]}"
            self.query_one(TitleBar).aside = what + against

    def _share_width(self, width: int) -> None:
        models = len(self._comparison.models) if self._comparison else 0
        table = self.query_one("#table")
        if width >= _WIDE and models:
            needed = LABEL + models * (_COLUMN + 2) + 4
            table.styles.width = max(64, min(needed, width * 3 // 5))
        else:
            table.styles.width = "100%"

    def _read_runs(self) -> None:
        """Read, in threads, the runs that are new or have grown."""
        models = self._comparison.models if self._comparison else ()
        for job_id in {model.job_id for model in models if model.job_id}:
            version = get_run_version(self.db, job_id)
            if version is not None and version != self._versions.get(job_id):
                self._versions[job_id] = version
                read = partial(get_run, job_id=job_id)
                self.read(read, partial(self._show_run, job_id), exclusive=f"run {job_id}")
        self._read_metric()

    def _show_run(self, job_id: str, run: Run) -> None:
        self._runs[job_id] = run
        self._show()

    @property
    def _no_curve_reason(self) -> str:
        """The text in place of curves if no model has one."""
        if self._is_loading:
            return "Loading the curves…"
        return self._load_error or "No curves were logged"

    def _load_curves(self, jobs: Sequence[str]) -> None:
        """Fetch new points, one job after the other. After an error the cached curves stay."""
        self._is_loading = bool(jobs)
        if not jobs:
            self._show()
            return

        def loaded(_: None) -> None:
            self.lora.poll_cache()
            self._load_curves(jobs[1:])

        def failed(error: LoraTuiError) -> None:
            self._is_loading, self._load_error = False, f"The curves can't be loaded: {error}"
            self._show()

        load = partial(self.lora.writers.load_curve, jobs[0])
        self.start(load, loaded, failed=failed, name="curve")
