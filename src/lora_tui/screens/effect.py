"""Effect: what one column of the models has to do with another, as a scatter plot and in words."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from lora_tui import formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.effect_runs import FoundRuns, Question, question_of, read_runs, variable_of
from lora_tui.cache.model_columns import MODEL_COLUMNS
from lora_tui.cache.model_query import ModelQuery
from lora_tui.cache.models import names_of
from lora_tui.errors import UsageError
from lora_tui.reports.effect import Effect, effect_of
from lora_tui.reports.value_classes import Value, Variable
from lora_tui.screens.chart_screen import Scrolled
from lora_tui.screens.column_picker import ColumnPicker
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit, fit_ends, normalize_width
from lora_tui.widgets.charts.effect_points import LogAxes, RunPoints, points_of
from lora_tui.widgets.charts.scatter_chart import ScatterChart
from lora_tui.widgets.effect_table import EffectTable, EffectWords
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel

_BESIDE: Final = 120
"""Columns of a terminal from which the table stands beside the chart."""
_FIRST: Final = ("rank", "best_validation_loss")
_LEAST_NAME: Final = 16
_TOPICS: Final = frozenset(
    {Topic.MODELS, Topic.DATASETS, Topic.CURVES, Topic.WEIGHTS, Topic.MARKS, Topic.SERVERS}
)
"""Changes of these topics change values of models. Downloads are another: they change often."""


class _Read(NamedTuple):
    """What was read and computed in a thread."""

    question: Question
    found: FoundRuns
    effect: Effect
    points: RunPoints


class EffectScreen(CacheScreen):
    """The models of a query, one column against another."""

    ABOUT = (
        "What one column of the models has to do with another: a point for each model of the list."
        " It describes these runs; it does not say what caused what."
    )
    CSS_PATH = ["effect.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("list.open", "open", "Open", tooltip="Open the model at the crosshair"),
        bound("effect.x", "choose('x')", "X", tooltip="Choose the column across"),
        bound("effect.y", "choose('y')", "Y", tooltip="Choose the column upwards"),
        bound("effect.by", "choose('by')", "By", tooltip="Choose the column of the letters"),
        bound("effect.table", "table", "Table", tooltip="Show or hide the table by value"),
        bound("effect.log_x", "log('x')", "Log", key_display="XY", tooltip="Logarithmic X axis"),
        bound("effect.log_y", "log('y')", "Logarithmic Y axis", show=False),
        bound(
            "chart.read_right",
            "go(1, 0)",
            "Move",
            key_display="arrows",
            tooltip="Move the crosshair to the next model at the right",
        ),
        bound("chart.read_left", "go(-1, 0)", "Move the crosshair left", show=False),
        bound("list.down", "go(0, 1)", "Move the crosshair down", show=False),
        bound("list.up", "go(0, -1)", "Move the crosshair up", show=False),
        bound(
            *("effect.next_here", "next_here", "Next here"),
            tooltip="Go to the next model at this point",
        ),
        bound("list.page_down", "page(1)", "Next page of the table", show=False),
        bound("list.page_up", "page(-1)", "Previous page of the table", show=False),
    ]

    def __init__(self, query: ModelQuery) -> None:
        super().__init__()
        self._query = query
        self.question = question_of(*_FIRST)
        self._log = LogAxes()
        self._read: _Read | None = None
        self.selected: str | None = None
        """The id of the model at the crosshair."""
        self._beside, self._instead = True, False
        """Whether the table is wanted beside the chart, and in place of it."""

    def compose(self) -> ComposeResult:
        """Chart, reading and words at the left, the table at the right."""
        yield TitleBar("Effect", ascii_only=self.ascii_only)
        with Horizontal(id="effect-sides"):
            with Vertical(id="effect-main"):
                yield ScatterChart(ascii_only=self.ascii_only)
                yield Static(id="effect-reading", markup=False)
                yield EffectWords(ascii_only=self.ascii_only)
            with Scrolled(id="effect-tables"):
                yield EffectTable(ascii_only=self.ascii_only)
                yield EffectWords(ascii_only=self.ascii_only, id="effect-all-words")
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Compare the columns of the last time."""
        x, y, by = (*self.lora.view_state.effect, "", "", "")[:3]
        try:
            self.question = question_of(x or _FIRST[0], y or _FIRST[1], by or None)
        except UsageError:  # a column that an earlier version had
            self.question = question_of(*_FIRST)
        self.query_one(StatePanel).show_message("Reading …")
        self._arrange()
        self._refresh()

    def on_resize(self, event: Resize) -> None:
        """Put the table beside the chart, or in place of it."""
        del event
        self._arrange()
        self.call_after_refresh(self.while_alive(self._show_words))

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Read again; the crosshair stays at its model."""
        self.query_one(StatusBar).update_from_cache()
        if topics & _TOPICS or (Topic.TRANSFERS in topics and self._depends_on_downloads):
            self._refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what applies."""
        if action == "open":
            return self.selected is not None
        if action == "next_here":
            return self.is_mounted and self.query_one(ScatterChart).place_here[1] > 1
        if action in ("go", "log"):
            return self._read is not None and bool(self._read.effect.runs)
        return True

    def action_back(self) -> None:
        """Close this screen."""
        self.dismiss()

    def action_open(self) -> None:
        """Open the page of the model at the crosshair."""
        if self.selected is not None:
            self.open_model(self.selected)

    def action_go(self, right: int, down: int) -> None:
        """Move the crosshair; where the table is in place of the chart, scroll it."""
        if self.has_class("-instead"):
            self.query_one("#effect-tables", Scrolled).scroll_relative(y=down, animate=False)
        else:
            self.query_one(ScatterChart).move(right, down)

    def action_next_here(self) -> None:
        """Go to the next model in the cell of the crosshair."""
        self.query_one(ScatterChart).next_here()

    def action_page(self, pages: int) -> None:
        """Scroll the table."""
        part = self.query_one("#effect-tables", Scrolled)
        part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)

    def action_table(self) -> None:
        """Show or hide the table: beside the chart, or in place of it."""
        if self._has_room_beside:
            self._beside = not self._beside
        else:
            self._instead = not self._instead
        self._arrange()
        self.call_after_refresh(self.while_alive(self._show_words))

    def action_log(self, axis: str) -> None:
        """Switch an axis between logarithmic and linear."""
        if self._read is None:
            return
        placed = self._read.points.placed
        now = placed.x if axis == "x" else placed.y
        before = self._log
        self._log = before._replace(**{axis: not now.is_log})
        self._place(said=now.label if not now.is_log else "")

    def action_choose(self, which: str) -> None:
        """Choose the column of an axis, or of the letters."""
        columns = [c for c in MODEL_COLUMNS if which != "y" or c.kind.is_number]
        now = getattr(self.question, which)

        def chosen(name: str | None) -> None:
            if name is not None:
                self._take(which, name)

        title = {"x": "Across", "y": "Upwards", "by": "Letters by"}[which]
        none = "no letters" if which == "by" else ""
        picker = ColumnPicker(title, columns, now.name if now else "", none=none)
        self.app.push_screen(picker, self.while_alive(chosen))

    @on(ScatterChart.Moved)
    def _moved(self) -> None:
        run = self.query_one(ScatterChart).run
        if self._read is not None:
            self.selected = None if run is None else self._read.found.ids[run]
        self._show_reading()
        self.refresh_bindings()

    @property
    def _has_room_beside(self) -> bool:
        return self.app.size.width >= _BESIDE

    @property
    def _depends_on_downloads(self) -> bool:
        named = [column.name for column in self.question if column is not None]
        query = self._query
        is_asked = query.downloaded is not None or "downloaded" in query.where.lower()
        return is_asked or "downloaded" in named

    def _arrange(self) -> None:
        beside = self._has_room_beside
        self.set_class(beside and self._beside, "-beside")
        self.set_class(not beside and self._instead, "-instead")

    def _take(self, which: str, name: str) -> None:
        names = {
            "x": self.question.x.name,
            "y": self.question.y.name,
            "by": self.question.by.name if self.question.by else "",
        }
        if name and which in ("x", "y") and name == names["y" if which == "x" else "x"]:
            self.notify(f"{name} is on the other axis already", severity="warning")
            return
        names[which] = name
        self.question = question_of(names["x"], names["y"], names["by"] or None)
        self._log = self._log._replace(**{which: None}) if which != "by" else self._log
        effect = (names["x"], names["y"], names["by"])
        self.lora.remember(self.lora.view_state._replace(effect=effect))
        self._refresh()

    def _refresh(self) -> None:
        """Read and compute in a thread: there may be very many models."""
        call = partial(
            _read_all,
            query=self._query,
            question=self.question,
            log=self._log,
            ascii_only=self.ascii_only,
        )
        self.read(call, self._show, exclusive="effect")

    def _place(self, *, said: str) -> None:
        """Place the points on other axes, in a thread."""
        read = self._read
        if read is None:
            return

        def placed(points: RunPoints) -> None:
            if read is not self._read:
                return
            self._read = read._replace(points=points)
            axes = (points.placed.x, points.placed.y)
            if said and not any(axis.is_log for axis in axes if axis.label == said):
                self.notify(f"{said} has no positive numbers: no logarithmic axis")
            self._show(self._read)

        call = partial(_points, read, self._log, ascii_only=self.ascii_only)
        self.start(call, placed, name="place", exclusive="place")

    def _show(self, read: _Read) -> None:
        self._read = read
        effect, chart = read.effect, self.query_one(ScatterChart)
        ids = read.found.ids
        run = ids.index(self.selected) if self.selected in ids else None
        chart.show(read.points, run)
        self.selected = None if chart.run is None else ids[chart.run]
        title = self.query_one(TitleBar)
        title.detail = _narrowed(self._query)
        self.query_one(StatusBar).note = formats.counted(effect.runs, "model")
        self.query_one(EffectTable).show(effect)
        self.set_class(not effect.runs, "-empty")
        if not effect.runs:
            self._say_empty(effect, read.found.total)
        self._show_words()
        self._show_reading()
        self.refresh_bindings()

    def _say_empty(self, effect: Effect, total: int) -> None:
        panel = self.query_one(StatePanel)
        x, y = key_of(self.app, "effect.x"), key_of(self.app, "effect.y")
        if not total:
            panel.show_message(
                "No models to compare", "The list of models that this was opened from is empty"
            )
        else:
            panel.show_message(
                "Nothing to compare", effect.sentence, *effect.remarks,
                f"{x} and {y} choose other columns",
            )  # fmt: skip

    def _show_words(self) -> None:
        read = self._read
        if read is None:
            return
        also = []
        if len(read.found.runs) < read.found.total:
            also.append(
                f"{formats.count(len(read.found.runs))} of {formats.count(read.found.total)}"
                " models were read, in pieces from the whole list."
            )
        key = key_of(self.app, "effect.table")
        most = max(2, self.size.height // 5)
        hint = "…" if self._has_room_beside else f"… {key} shows all remarks"
        short, whole = self.query(EffectWords)
        short.show(read.effect, also=also, most=most, hint=hint)
        whole.show(read.effect, also=also, most=100, hint="")

    def _show_reading(self) -> None:
        """The model at the crosshair with its values; how to get to one where there is none."""
        line, read = self.query_one("#effect-reading", Static), self._read
        chart = self.query_one(ScatterChart)
        if read is None or chart.run is None:
            arrows = "arrows or a click go" if not self.ascii_only else "arrows go"
            line.update(Content.styled(f"{arrows} to a model", "$secondary"))
            return
        run, effect = read.found.runs[chart.run], read.effect
        model_id = read.found.ids[chart.run]
        parts = [_said(effect.x, run.x), _said(effect.y, run.y)]
        if effect.by is not None:
            parts.append(_said(effect.by, run.by))
        place, count = chart.place_here
        if count > 1:
            parts.insert(0, f"{place} of {formats.count(count)} here")
        values = normalize_width("  ".join(parts), ascii_only=self.ascii_only)
        name = names_of(self.db, [model_id]).get(model_id, model_id)
        name = normalize_width(name, ascii_only=self.ascii_only)
        width = chart.size.width
        room = max(_LEAST_NAME, width - cell_len(values) - 2)
        name = fit_ends(name, min(room, cell_len(name)), ascii_only=self.ascii_only).rstrip()
        left = max(1, width - cell_len(name) - 2)
        values = fit(values, min(left, cell_len(values)), ascii_only=self.ascii_only)
        line.update(Content.assemble((name, "bold $foreground"), f"  {values}"))


def _said(variable: Variable, value: Value) -> str:
    if value is None:
        return f"{variable.words} unknown"
    return f"{variable.words} {value if isinstance(value, str) else variable.text(value)}"


def _narrowed(query: ModelQuery) -> str:
    """The search and the filters of the list that this was opened from."""
    if query.is_everything:
        return "all models"
    from lora_tui.views.words import query_text

    return query_text(query)


def _read_all(
    db: sqlite3.Connection,
    *,
    query: ModelQuery,
    question: Question,
    log: LogAxes,
    ascii_only: bool,
) -> _Read:
    found = read_runs(db, query, question)
    by = variable_of(question.by) if question.by else None
    effect = effect_of(found.runs, variable_of(question.x), variable_of(question.y), by)
    points = points_of(found.runs, effect.x, effect.y, by, log, ascii_only=ascii_only)
    return _Read(question, found, effect, points)


def _points(read: _Read, log: LogAxes, *, ascii_only: bool) -> RunPoints:
    effect = read.effect
    return points_of(read.found.runs, effect.x, effect.y, effect.by, log, ascii_only=ascii_only)
