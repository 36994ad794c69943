"""Model: one model with its metrics, loss curve, files, download and metadata."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType

from lora_tui.adapters.inspection import Adapter, read_local
from lora_tui.adapters.served import served_adapter
from lora_tui.adapters.weight_facts import WeightFacts, facts_from
from lora_tui.cache.changes import Topic
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.models import get_model
from lora_tui.cache.own_marks import get_marks
from lora_tui.cache.runs import get_opinion
from lora_tui.cache.served import Served, get_served
from lora_tui.cache.transfer_queue import ACTIVE, transfers_of
from lora_tui.cache.weights import get_weights
from lora_tui.domain import Model
from lora_tui.errors import LoraTuiError
from lora_tui.library.served import find_directory
from lora_tui.opinion import Opinion, compare_with_rating
from lora_tui.screens.chart_screen import CHART_ACTIONS, CHART_KEYS, Scrolled
from lora_tui.screens.choose_files import ChooseFilesScreen
from lora_tui.screens.export_report import ask_for_report
from lora_tui.screens.metrics_screen import METRICS_KEYS, MetricsScreen
from lora_tui.screens.own_marks import mark
from lora_tui.screens.prove_effect import proofs_that_go_on, prove_effect
from lora_tui.screens.snippets import SnippetsScreen
from lora_tui.widgets.bindings import MARK_KEYS, bound, key_of
from lora_tui.widgets.charts.metric_charts import MetricCharts
from lora_tui.widgets.file_list import FileList
from lora_tui.widgets.mark_lines import MarksPanel
from lora_tui.widgets.model_metadata import AdapterHeader, ModelMetadata
from lora_tui.widgets.model_page import (
    JobTimeline,
    MetricTiles,
    ModelHeader,
    OpinionPanel,
    stages_of,
)
from lora_tui.widgets.screen_bars import KeyBar, StatusBar
from lora_tui.widgets.served_panel import ServedPanel
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.weights_panel import WeightsPanel

_WIDE: Final = 110
_OTHER_ROWS: Final = 7
"""Header, margins, status and keys."""
_FACTS: Final = frozenset({Topic.MODELS, Topic.DATASETS, Topic.JOBS})
_SERVED: Final = frozenset({Topic.SERVERS, Topic.SYNC})
"""The second one is published when the engine tells how far a proof is."""


class ModelScreen(MetricsScreen):
    """One model, in two columns on a wide terminal, else in one."""

    CSS_PATH = "model.tcss"
    ABOUT = "One model: its loss curve, a second opinion on it, its files, and how it was trained."
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound(
            *("model.next", "neighbour(1)", "Next model"),
            show=False,
            tooltip="Show the next model of the list",
        ),
        bound(
            *("model.previous", "neighbour(-1)", "Previous model"),
            show=False,
            tooltip="Show the previous model of the list",
        ),
        bound("model.download", "download", "Download", tooltip="Download all files"),
        bound(
            "model.choose_files", "choose_files", "Files", tooltip="Choose which files to download"
        ),
        bound("model.cancel", "cancel", "Stop", tooltip="Stop the download; received data is kept"),
        bound(
            "model.serve",
            "serve",
            "Serve",
            tooltip="Show snippets that load it into vLLM, PEFT and others",
        ),
        bound(
            *("model.load", "load", "Load"),
            show=False,
            tooltip="Load it into a server and prove that it changes the answers, or unload it",
        ),
        bound(
            *("model.report", "report", "Report"),
            show=False,
            tooltip="Write the report as a Markdown or HTML file, or copy it",
        ),
        bound(
            *("model.prove", "prove", "Prove"),
            show=False,
            tooltip="Prove the effect: ask the server that has it loaded with and without it",
        ),
        *MARK_KEYS,
        *CHART_KEYS,
        *METRICS_KEYS,
        bound("model.job", "job", "Job", show=False, tooltip="Show the job that trained it"),
        bound("model.inspect", "inspect", "Read the adapter's header (rank, modules)", show=False),
        bound("model.copy_id", "copy_id", "Copy the id", show=False),
        bound(
            "model.copy_checksums",
            "copy_checksums",
            "Copy the checksums for sha256sum",
            show=False,
        ),
    ]

    def __init__(self, model_id: str) -> None:
        super().__init__()
        self.model_id = model_id
        self._model: Model | None = None
        self._opinion: Opinion | None = None
        self._adapter: Adapter | str = ""
        """The header that was read, or why there is none."""
        self._adapter_from: Path | None = None
        self._weights: WeightFacts | None = None
        self._served = Served()

    def compose(self) -> ComposeResult:
        """Header, metrics, chart, files, metadata, status and keys."""
        ascii_only = self.ascii_only
        yield ModelHeader(ascii_only=ascii_only)
        with Scrolled(id="page"):
            with Scrolled(id="run"):
                tiles = MetricTiles(ascii_only=ascii_only)
                yield tiles
                yield MetricCharts(
                    ascii_only=ascii_only,
                    reserved=lambda width: len(tiles.lines(width)) + _OTHER_ROWS,
                )
            with Scrolled(id="facts"):
                yield MarksPanel(ascii_only=ascii_only)
                yield ServedPanel(ascii_only=ascii_only)
                yield OpinionPanel(ascii_only=ascii_only)
                yield FileList(ascii_only=ascii_only)
                yield AdapterHeader(ascii_only=ascii_only)
                yield WeightsPanel(ascii_only=ascii_only)
                yield JobTimeline(ascii_only=ascii_only)
                yield ModelMetadata(ascii_only=ascii_only)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is cached; fetch missing points, check the downloaded files."""
        key = key_of(self.app, "model.inspect")
        self._show_adapter(
            f"Not inspected. Press {key} to read its header: 128 KiB, not the whole file"
        )
        self._show_model()
        self.lora.check_disk()
        if self._model is not None and self._model.job_id:
            self.follow_run(self._model.job_id)
        elif self._model is not None:
            self.chart.show(None, otherwise="This model has no training job")

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the cache."""
        if topics & _FACTS:
            self._show_model()
        if Topic.MARKS in topics:
            self._show_marks()
        if topics & _SERVED:
            self._show_served()
        if Topic.CURVES in topics:
            self.read_run()
        if Topic.TRANSFERS in topics:
            self._show_files()
        if Topic.WEIGHTS in topics:
            self._read_weights()
        self.query_one(StatusBar).update_from_cache()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """Offer only actions that apply."""
        if action in ("download", "choose_files"):
            return bool(self._model and self._model.files) and not self._is_downloading
        if action == "prove":
            return self._model is not None and bool(self._served.loaded or self._served.proofs)
        if action == "cancel":
            return (
                bool(self._proving)
                or self._is_downloading
                or self.lora.begins_download(self.model_id)
            )
        if action in CHART_ACTIONS or action == "axis":
            return self.is_mounted and self._model is not None and self.chart.has_curve
        if action == "metrics":
            return self.is_mounted and self._model is not None and bool(self.chart.every_chart)
        if action == "copy_checksums":
            return bool(self._model and any(file.sha256 for file in self._model.files))
        if action == "job":
            return bool(self._model and self._model.job)
        if action in ("serve", "load", "inspect", "report", "mark"):
            return self._model is not None or parameters == ("keep",)
        return True

    def why_not(self, action: str) -> str:
        """See `CacheScreen.why_not`."""
        from lora_tui.screens.unavailable import why_not_on_page  # late: seldom needed

        return why_not_on_page(
            self.app,
            action,
            is_downloading=self._is_downloading,
            has_model=self._model is not None,
        )

    def action_back(self) -> None:
        """Go back to the list."""
        self.dismiss()

    def action_neighbour(self, step: int) -> None:
        """Show the next or the previous model of the list."""
        self.lora.open_neighbour(self.model_id, step)

    def action_download(self) -> None:
        """Download all files."""
        self._download(None)

    def action_choose_files(self) -> None:
        """Open the file selection."""
        if self._model is None:
            return
        transfers = transfers_of(self.db, self.model_id)

        def chosen(names: tuple[str, ...] | None) -> None:
            if names:
                self._download(names)

        screen = ChooseFilesScreen(self._model.files, transfers, ascii_only=self.ascii_only)
        self.app.push_screen(screen, self.while_alive(chosen))

    def action_cancel(self) -> None:
        """Stop the download; received data is kept. Where a proof goes on, stop that first."""
        if self._proving:
            call = partial(self.lora.writers.cancel_proof, self.model_id)
            self.lora.start(call, lambda _: None, name="cancel a proof")
        else:
            self.lora.cancel_download(self.model_id)

    def action_copy_id(self) -> None:
        """Copy the model's id."""
        self.lora.copy(self.model_id)

    def action_job(self) -> None:
        """Show the job that trained this model."""
        if self._model is not None and self._model.job is not None:
            self.lora.open_job(self._model.job_id)

    def action_serve(self) -> None:
        """Show the snippets."""
        if self._model is not None:
            directory = find_directory(self.model_id, downloaded_to(self.db, self.model_id))
            served = served_adapter(self._model, directory)
            self.app.push_screen(SnippetsScreen(served, ascii_only=self.ascii_only))

    def action_load(self) -> None:
        """Choose a server to load it into, or unload it there."""
        from lora_tui.screens.load_model import choose_server

        if self._model is not None:
            choose_server(self, self.model_id, self._model.name)

    def action_report(self) -> None:
        """Choose how the report is written."""
        if self._model is not None:
            ask_for_report(self, self.model_id, self._model.name)

    def action_prove(self) -> None:
        """Prove the effect on every server that has this model, one after the other."""
        prove_effect(self, self.model_id, self._served)

    def action_inspect(self) -> None:
        """Read the header of the adapter's file in the bucket, once, and scroll to it."""
        if isinstance(self._adapter, str) and self._model is not None:
            self._show_adapter("Reading the header…")
            read = partial(self.lora.writers.read_adapter, self._model)
            self._read_adapter(read, scrolls=True)
        self._scroll_to_adapter()

    def action_copy_checksums(self) -> None:
        """Copy the checksums in the format of `sha256sum --check`."""
        files = self._model.files if self._model else ()
        lines = [f"{file.sha256}  {file.label}" for file in files if file.sha256]
        self.lora.copy("\n".join(lines) + "\n", what="Checksums in the format of sha256sum")

    def action_mark(self, what: str) -> None:
        """See `own_marks.mark`."""
        if self._model is not None or what == "keep":
            mark(self, what, self._model)

    @property
    def scrolled(self) -> Scrolled:
        """The facts if there are two columns, else the whole page."""
        return self.query_one("#facts" if self.has_class("-wide") else "#page", Scrolled)

    @property
    def _is_downloading(self) -> bool:
        return any(t.state in ACTIVE for t in transfers_of(self.db, self.model_id))

    def _show_model(self) -> None:
        self._model = model = get_model(self.db, self.model_id)
        self.set_class(model is None, "-gone")
        self.query_one(ModelHeader).show(model)
        if model is None:
            back = key_of(self.app, "screen.back")
            self.query_one(StatePanel).show_message(
                "This model is gone",
                "It was deleted from the project, or it is no longer yours.",
                f"Downloaded files stay on your disk. Press {back} to go back.",
            )
        else:
            self.query_one(JobTimeline).show(stages_of(model))
            self.query_one(ModelMetadata).show(model)
            self._show_marks()
            self._show_served()
            self._show_files()
            self._show_opinion(self._opinion)
            self._show_weights(self._weights)
            self._read_weights()
        self.refresh_bindings()

    def _show_marks(self) -> None:
        self.query_one(MarksPanel).show(get_marks(self.db, self.model_id))

    def _show_served(self) -> None:
        self._served = get_served(self.db, self.model_id)
        self.query_one(ServedPanel).show(self._served, self._proving)
        self.refresh_bindings()

    @property
    def _proving(self) -> dict[str, str]:
        """Server → how far the proof is that goes on there."""
        return proofs_that_go_on(self.lora, self.model_id)

    def run_read(self) -> None:
        """Judge the run in a thread."""
        if self._model is not None:
            read = partial(get_opinion, job_id=self._model.job_id)
            self.read(read, self._show_opinion, exclusive="opinion")

    def _show_opinion(self, opinion: Opinion | None) -> None:
        self._opinion = opinion
        if self._model is not None:
            self.query_one(MetricTiles).show(self._model, opinion)
            self.query_one(OpinionPanel).show(
                opinion, compare_with_rating(opinion, self._model.quality) if opinion else None
            )

    def _read_weights(self) -> None:
        """Read what was computed from the weights in a thread: it may be megabytes."""

        def read(db: Connection) -> WeightFacts | None:
            return facts_from(get_weights(db, self.model_id))

        self.read(read, self._show_weights, exclusive="weights")

    def _show_weights(self, facts: WeightFacts | None) -> None:
        self._weights = facts
        stored = self._model.weights if self._model else None
        self.query_one(WeightsPanel).show(facts, stored)

    def _show_files(self) -> None:
        if self._model is None:
            return
        directory = downloaded_to(self.db, self.model_id)
        self.query_one(FileList).show(
            self._model.files,
            transfers_of(self.db, self.model_id),
            directory,
            lost=self._model.lost_files,
        )
        if directory is not None and directory != self._adapter_from:
            self._adapter_from = directory
            read = partial(read_local, directory)
            self._read_adapter(read)
        self.refresh_bindings()

    def _read_adapter(self, read: Callable[[], Adapter], *, scrolls: bool = False) -> None:
        """Read the header in a thread. `scrolls`: the user asked for it, so scroll to it."""

        def show(adapter: Adapter | str) -> None:
            self._show_adapter(adapter)
            if scrolls:
                self._scroll_to_adapter()

        def failed(error: LoraTuiError) -> None:
            show(f"{error}\n{self.lora.remedy_of(error)}".rstrip())

        self.start(read, show, failed=failed, name="adapter", exclusive="adapter")

    def _show_adapter(self, adapter: Adapter | str) -> None:
        self._adapter = adapter
        self.query_one(AdapterHeader).show(adapter)

    def _scroll_to_adapter(self) -> None:
        """Scroll when the layout has the new height of the header."""
        header = self.query_one(AdapterHeader)
        self.call_after_refresh(self.while_alive(partial(header.scroll_visible, animate=False)))

    def _download(self, names: tuple[str, ...] | None) -> None:
        if self._model is None:
            return
        self.lora.download(self.model_id, self._model.name, names)
        top = not self.has_class("-wide")
        self.query_one(FileList).scroll_visible(top=top, animate=False)
