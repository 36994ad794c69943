"""Model: everything about one model, its loss curve, and its download."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from lora_tui.background import in_background
from lora_tui.cache.changes import Topic
from lora_tui.cache.finished import downloaded_to
from lora_tui.cache.metrics import get_curve, get_points
from lora_tui.cache.models import get_model
from lora_tui.cache.transfers import ACTIVE, TransferState, transfers_of
from lora_tui.domain import Model, curve_of
from lora_tui.errors import LoraTuiError
from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.screens.choose_files import ChooseFilesScreen
from lora_tui.second_opinion import compare_with_rating, second_opinion
from lora_tui.widgets.file_list import FileList
from lora_tui.widgets.key_bar import KeyBar
from lora_tui.widgets.loss_chart import LossChart
from lora_tui.widgets.metric_tiles import MetricTiles
from lora_tui.widgets.model_facts import ModelFacts
from lora_tui.widgets.model_header import ModelHeader
from lora_tui.widgets.opinion_panel import OpinionPanel
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.status_bar import StatusBar

_WIDE: Final = 110
_FACTS: Final = frozenset({Topic.MODELS, Topic.DATASETS, Topic.JOBS})


class Page(VerticalScroll, can_focus=False):
    """A part of the screen that scrolls; the screen's keys move it."""


class ModelScreen(CacheScreen):
    """One model. Wide: figures and chart at the left, facts at the right; else one column."""

    CSS_PATH = ["../widgets/drawn_lines.tcss", "model.tcss"]  # noqa: RUF012 - Textual's own
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("d", "download", "Download"),
        Binding("D", "choose_files", "Files"),
        Binding("x", "cancel", "Stop"),
        Binding("l", "log_scale", "Log"),
        Binding("m", "smoothing", "Smooth"),
        Binding("right", "crosshair(1)", "Values", key_display="←→"),
        Binding("left", "crosshair(-1)", "Values", show=False),
        Binding("shift+right", "crosshair(10)", "Ten columns right", show=False),
        Binding("shift+left", "crosshair(-10)", "Ten columns left", show=False),
        Binding("y", "copy_id", "Copy id", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("pagedown,space,ctrl+f", "page(1)", "Next page", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Previous page", show=False),
        Binding("home,g", "top", "To the top", show=False),
        Binding("end,G", "bottom", "To the bottom", show=False),
    ]

    def __init__(self, model_id: str) -> None:
        super().__init__()
        self.model_id = model_id
        self._model: Model | None = None
        self._curve_state = "loading curve…"
        """Why there is no curve to draw, in words."""

    def compose(self) -> ComposeResult:
        """Header, figures and chart, files and facts; status and keys."""
        ascii_only = self.ascii_only
        yield ModelHeader(ascii_only=ascii_only)
        with Page(id="page"):
            with Vertical(id="run"):
                yield MetricTiles(ascii_only=ascii_only)
                yield LossChart(ascii_only=ascii_only)
            with Page(id="facts"):
                yield OpinionPanel(ascii_only=ascii_only)
                yield FileList(ascii_only=ascii_only)
                yield ModelFacts(ascii_only=ascii_only)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what the cache has; fetch the points that it lacks, look at the disk."""
        self._show_model()
        self.lora.look_at_disk()
        if self._model is not None and self._model.job_id:
            self.run_worker(self._load_curve(self._model.job_id), group="curve")

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show what the writers wrote."""
        if topics & _FACTS:
            self._show_model()
        if Topic.CURVES in topics:
            self._show_curve()
        if Topic.TRANSFERS in topics:
            self._show_files()
        self.query_one(StatusBar).refresh()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Only what applies is offered."""
        if action in ("download", "choose_files"):
            return bool(self._model and self._model.files) and not self._is_downloading
        if action == "cancel":
            return self._is_downloading
        if action in ("log_scale", "smoothing", "crosshair"):
            return self.is_mounted and self._model is not None and self._chart.has_curve
        return True

    def action_back(self) -> None:
        """To the list."""
        self.dismiss()

    def action_download(self) -> None:
        """Download all files."""
        self._download(None)

    def action_choose_files(self) -> None:
        """Choose which files to download."""
        if self._model is None:
            return
        here = {
            transfer.file
            for transfer in transfers_of(self.db, self.model_id)
            if transfer.state is TransferState.DONE
        }

        def chosen(names: tuple[str, ...] | None) -> None:
            if names:
                self._download(names)

        screen = ChooseFilesScreen(self._model.files, here, ascii_only=self.ascii_only)
        self.app.push_screen(screen, chosen)

    def action_cancel(self) -> None:
        """Stop the download; what was fetched is kept."""
        self.lora.ask(partial(self.lora.writers.cancel_download, self.model_id))

    def action_copy_id(self) -> None:
        """Copy the model's id."""
        self.lora.copy(self.model_id)

    def action_log_scale(self) -> None:
        """Losses on a logarithmic axis, or back."""
        self._chart.toggle_log_scale()

    def action_smoothing(self) -> None:
        """Smooth the training loss, or not."""
        self._chart.toggle_smoothing()

    def action_crosshair(self, columns: int) -> None:
        """Move the crosshair."""
        self._chart.move_crosshair(columns)

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self._scrolled.scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, one line of overlap."""
        page = self._scrolled
        page.scroll_relative(y=pages * max(1, page.size.height - 1), animate=False)

    def action_top(self) -> None:
        """Scroll to the top."""
        self._scrolled.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Scroll to the bottom."""
        self._scrolled.scroll_end(animate=False)

    @property
    def _chart(self) -> LossChart:
        return self.query_one(LossChart)

    @property
    def _scrolled(self) -> Page:
        return self.query_one("#facts" if self.has_class("-wide") else "#page", Page)

    @property
    def _is_downloading(self) -> bool:
        return any(t.state in ACTIVE for t in transfers_of(self.db, self.model_id))

    def _show_model(self) -> None:
        self._model = model = get_model(self.db, self.model_id)
        self.set_class(model is None, "-gone")
        self.query_one(ModelHeader).show(model)
        if model is None:
            self.query_one(StatePanel).say(
                "This model is gone",
                "It was deleted from the project, or it is no longer yours.",
                "What was downloaded stays on your disk. Escape goes back to the list.",
            )
        else:
            self.query_one(MetricTiles).show(model)
            self.query_one(ModelFacts).show(model)
            self._show_files()
            self._show_curve()
        self.refresh_bindings()

    def _show_curve(self) -> None:
        if self._model is None:
            return
        job_id = self._model.job_id
        logged = get_points(self.db, job_id)
        points = curve_of(logged) or get_curve(self.db, job_id)
        reason = self._curve_state if job_id else "This model names no training job"
        self._chart.show(points, otherwise=reason)
        panel = self.query_one(OpinionPanel)
        if logged or points:
            opinion = second_opinion(logged or points, thinned=not logged)
            panel.show(opinion, compare_with_rating(opinion, self._model.quality))
        else:
            panel.show(None, None)
        self.refresh_bindings()

    def _show_files(self) -> None:
        if self._model is None:
            return
        self.query_one(FileList).show(
            self._model.files,
            transfers_of(self.db, self.model_id),
            downloaded_to(self.db, self.model_id),
        )
        self.refresh_bindings()

    def _download(self, names: tuple[str, ...] | None) -> None:
        if self._model is None:
            return
        self.lora.download(self.model_id, self._model.name, names)
        top = not self.has_class("-wide")
        self.query_one(FileList).scroll_visible(top=top, animate=False)

    async def _load_curve(self, job_id: str) -> None:
        """Fetch new points; a failure matters only where there is nothing to show."""
        try:
            await in_background(partial(self.lora.writers.load_curve, job_id), name="curve")
        except LoraTuiError as error:
            self._curve_state = f"The curve can't be loaded: {error}"
            if error.remedy:
                self._curve_state += f"\n{error.remedy}"
        else:
            self._curve_state = "No metric points were logged for this run"
        self.lora.poll_cache()
        self._show_curve()
