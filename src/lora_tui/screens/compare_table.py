"""Compare of more than six models: a table, a line a model, and the curves of up to six of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.runs import get_run
from lora_tui.curves.series import Series
from lora_tui.documents.comparison import Compared, read_comparison, read_document
from lora_tui.reports import LETTERS, MAX_COMPARED, MIN_COMPARED
from lora_tui.reports.compare import to_csv
from lora_tui.reports.model_table import LEGEND, TableColumn, table_columns
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.text import cell_width
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit, fit_ends, normalize_width, wrap
from lora_tui.widgets.charts.overlay_chart import OverlayChart
from lora_tui.widgets.screen_bars import StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel

_NO_POINTS: Final = Series.from_points(())
_NAME: Final = 22
"""Cells of a name where more columns want room."""
_LONGEST_NAME: Final = 44
_MOST_SETTING: Final = 18
"""Cells of a setting in words, such as a base model."""
_GAP: Final = "  "
_MOST_SAID: Final = 3
"""Lines of the sentences above the table."""


class _Layout(NamedTuple):
    """How wide the name is, and the columns that fit, each with its width."""

    name: int
    columns: list[tuple[TableColumn, int]]


class ComparedList(FullList, inherit_bindings=False):
    """The lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Open the model"),
        *LIST_KEYS,
    ]


class CompareTableScreen(ListScreen[int]):
    """The table, read in a thread; a row is the index of its model."""

    ABOUT = (
        "Many compared models, the best first where losses rank them. The best of each column has a"
        " star; losses of different datasets or base models are not ranked. Up to six marked ones"
        " have their curves drawn."
    )
    CSS_PATH = ["list_screen.tcss", "compare_table.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Compare"
    TOPICS = frozenset({Topic.MODELS, Topic.DATASETS})
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (22, "-short"), (34, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("models.mark", "mark", "Mark", tooltip="Draw the curve of the model, or not"),
        bound(
            "models.compare", "compare", "Compare", tooltip="Compare the marked models side by side"
        ),
        bound("models.sort", "sort", "Sort", tooltip="Sort by the next column"),
        bound("models.reverse", "reverse", "Reverse", show=False, tooltip="Reverse the order"),
        bound(
            "compare.validation",
            "losses",
            "Losses",
            tooltip="Draw validation or training losses",
        ),
        bound(
            "compare.markdown",
            "export('md')",
            "Export",
            tooltip="Write the report as a Markdown file, for GitHub and Slack",
        ),
        bound("compare.csv", "export('csv')", "CSV", show=False, tooltip="Write a CSV file"),
        bound("compare.copy", "copy", "Copy", show=False, tooltip="Copy the report as Markdown"),
    ]

    def __init__(self, model_ids: Sequence[str]) -> None:
        """Compare these, more than `MAX_COMPARED` and up to `MAX_TABLED` of them."""
        super().__init__()
        self._ids = tuple(model_ids)
        self._compared: Compared | None = None
        self._columns: list[TableColumn] = []
        self._sorted: str | None = None
        """The key of the column that decides the order; None: the best first."""
        self._reverse = False
        self._marked: list[str] = []
        """The ids of the models whose curves are drawn, in the order of their letters."""
        self._curves: dict[str, Series] = {}
        self._wants_validation = True

    def compose_list(self) -> ComposeResult:
        """What the losses tell, the headings, the lines, and the curves."""
        yield Static(id="headings", markup=False)
        yield ComparedList(id="compared", markup=False)
        yield OverlayChart(ascii_only=self.ascii_only)

    def identity(self, row: int) -> str:
        """The id of the model."""
        return self._compared.comparison.models[row].id if self._compared else ""

    def on_resize(self, event: Resize) -> None:
        """Draw the lines in their new width."""
        del event
        self.call_after_refresh(self.while_alive(self._draw))

    def refresh_list(self) -> None:
        """Compare again, beside the event loop: second opinions take a while."""
        if self._compared is None:
            self._draw()
        self.read(partial(read_comparison, model_ids=self._ids), self._show, exclusive="compared")

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Offer only actions that apply."""
        if action in ("mark", "sort", "reverse", "export", "copy"):
            return bool(self._columns)
        if action == "compare":
            return len(self._marked) >= MIN_COMPARED
        if action == "losses":
            return bool(self._marked)
        return True

    def open_row(self, row: int) -> None:
        """Open the model."""
        self.open_model(self.identity(row))

    def say_empty(self, panel: StatePanel) -> None:
        """Say that the models are being compared, or that they are gone."""
        if self._compared is None:
            panel.show_message(f"Comparing {len(self._ids)} models", "This takes a moment")
            return
        panel.show_message(
            "Nothing left to compare",
            "The models were deleted from the project, or are no longer yours.",
            f"Press {key_of(self.app, 'screen.back')} to go back.",
        )

    def action_mark(self) -> None:
        """Mark the model under the cursor, so that its curve is drawn, or unmark it."""
        if self.chosen is None or self._compared is None:
            return
        model_id = self.identity(self.chosen)
        if model_id in self._marked:
            self._marked.remove(model_id)
        elif len(self._marked) == MAX_COMPARED:
            self.notify(f"The curves of at most {MAX_COMPARED} models are drawn; unmark one first")
            return
        else:
            self._marked.append(model_id)
        self._read_curve(model_id)
        self._draw()

    def action_compare(self) -> None:
        """Compare the marked models side by side."""
        from lora_tui.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen(tuple(self._marked)))

    def action_sort(self) -> None:
        """Sort by the next column; after the last one the best come first again."""
        keys = [None, *(column.name for column in self._columns)]
        at = keys.index(self._sorted) if self._sorted in keys else 0
        self._sorted, self._reverse = keys[(at + 1) % len(keys)], False
        self._draw()

    def action_reverse(self) -> None:
        """Reverse the order; unknown values stay last."""
        self._reverse = not self._reverse
        self._draw()

    def action_losses(self) -> None:
        """Draw the validation losses, or the training losses."""
        self._wants_validation = not self.query_one(OverlayChart).validation
        self._show_curves()

    def action_export(self, suffix: str) -> None:
        """Write the report, or all properties as CSV, into the downloads directory."""
        compared = self._compared
        if compared is None:
            return
        name = f"comparison-{clock.local(clock.now()):%Y-%m-%d}.{suffix}"
        if suffix == "csv":
            self.export(name, lambda _: to_csv(compared.comparison))
        else:
            self.export(name, self._document(compared))

    def action_copy(self) -> None:
        """Copy the report as Markdown."""
        if self._compared is not None:
            self.copy_made(self._document(self._compared), what="Report as Markdown")

    def _document(self, compared: Compared) -> Callable[[Connection], str]:
        return partial(read_document, comparison=compared.comparison, order=self._order())

    def _show(self, compared: Compared) -> None:
        found = {model.id for model in compared.comparison.models}
        self._marked = [model_id for model_id in self._marked if model_id in found]
        self._compared = compared
        self._columns = table_columns(compared.comparison) if len(found) >= MIN_COMPARED else []
        self._draw()

    def _order(self) -> list[int]:
        """The models in the order that was chosen; the best first where none was."""
        compared = self._compared
        if compared is None or not self._columns:
            return []
        for column in self._columns:
            if column.name == self._sorted:
                return column.order(reverse=self._reverse)
        return compared.order[::-1] if self._reverse else compared.order

    def _read_curve(self, model_id: str) -> None:
        """Read, in a thread, the curve of a model that was marked."""
        models = self._compared.comparison.models if self._compared else ()
        job_id = next((model.job_id for model in models if model.id == model_id), "")
        if model_id in self._curves or not job_id:
            return

        def show(series: Series) -> None:
            self._curves[model_id] = series
            self._show_curves()

        self.read(lambda db: get_run(db, job_id).series, show, exclusive=f"curve {model_id}")

    def _show_curves(self) -> None:
        chart = self.query_one(OverlayChart)
        curves = [self._curves.get(model_id, _NO_POINTS) for model_id in self._marked]
        has_validation = any(len(curve.validation) for curve in curves)
        chart.validation = self._wants_validation and has_validation
        chart.show(curves, otherwise="No curves are cached; the page of a model fetches its own")

    def _draw(self) -> None:
        compared, order = self._compared, self._order()
        self.set_class(bool(self._marked), "-marked")
        heading = self.query_one("#headings", Static)
        heading.display = bool(order)
        self.query_one(StatusBar).note = ""
        if compared is None or not order:
            self.show_rows([])
            return
        width = self.line_width
        layout = self._layout(order, width)
        self.show_rows([(index, self._line(index, layout)) for index in order])
        heading.update(self._heading(compared, layout, width))
        self._show_curves()
        title = self.query_one(TitleBar)
        gone = len(self._ids) - len(compared.comparison.models)
        models = formats.counted(len(compared.comparison.models), "model")
        title.detail = f"{models}, {gone} not found" if gone else models
        first = "best first" if compared.is_ranked else "as in the list"
        by = first if self._sorted is None else f"by {self._sorted.lower()}"
        title.aside = f"{by}, reversed" if self._reverse else by
        said = [f"{len(self._marked)} of {MAX_COMPARED} marked"] if self._marked else []
        hidden = len(self._columns) - len(layout.columns)
        if hidden:
            said.append(f"{formats.counted(hidden, 'column')} more on a wider terminal")
        self.query_one(StatusBar).note = ", ".join(said)

    def _layout(self, order: Sequence[int], width: int) -> _Layout:
        """The columns that fit beside the names; the one that decides the order is among them."""
        names = [self._clean(self._model_name(index)) for index in order]
        left = 7
        room = width - left - min(_NAME, max(map(cell_width, names)))
        chosen: list[tuple[TableColumn, int]] = []
        first = [column for column in self._columns if column.name == self._sorted]
        for column in [*first, *(c for c in self._columns if c not in first)]:
            size = _size(column, self._clean)
            if size + len(_GAP) > room:
                continue
            room -= size + len(_GAP)
            chosen.append((column, size))
        chosen.sort(key=lambda each: self._columns.index(each[0]))
        used = left + sum(size + len(_GAP) for _, size in chosen)
        name = min(_LONGEST_NAME, max(map(cell_width, names)), width - used)
        return _Layout(max(1, name), chosen)

    def _line(self, index: int, layout: _Layout) -> Content:
        model = self._model_id(index)
        letter = LETTERS[self._marked.index(model)] if model in self._marked else " "
        number = fit(str(index + 1), 3, right=True)
        name = fit_ends(self._model_name(index), layout.name, ascii_only=self.ascii_only)
        parts: list[tuple[str, str]] = [
            (f"{letter} ", "bold $primary"),
            (number, "$secondary"),
            (f"{_GAP}{name}", "$foreground 90%"),
        ]
        for column, size in layout.columns:
            style = "bold $foreground" if index in column.best else "$foreground 90%"
            text = fit_ends if not column.is_number else partial(fit, right=True)
            parts.append((_GAP + text(column.cell(index), size, ascii_only=self.ascii_only), style))
        return Content.assemble(*parts)

    def _heading(self, compared: Compared, layout: _Layout, width: int) -> Content:
        """What the losses tell, and the titles of the columns."""
        said = " ".join(compared.comparison.sentences)
        lines = wrap(self._clean(said), width) if said else []
        if len(lines) > _MOST_SAID:
            lines = [*lines[: _MOST_SAID - 1], f"{lines[_MOST_SAID - 1]} …"]
        titles = [" " * 5 + _GAP + fit("NAME", layout.name)]
        titles += [
            fit(column.title.upper(), size, right=column.is_number)
            for column, size in layout.columns
        ]
        legend = [LEGEND] if any(column.best for column, _ in layout.columns) else []
        return Content.styled("\n".join([*lines, *legend, _GAP.join(titles)]), "$secondary")

    def _clean(self, text: str) -> str:
        return normalize_width(text, ascii_only=self.ascii_only)

    def _model_name(self, index: int) -> str:
        return self._compared.comparison.models[index].name if self._compared else ""

    def _model_id(self, index: int) -> str:
        return self._compared.comparison.models[index].id if self._compared else ""


def _size(column: TableColumn, clean: Callable[[str], str]) -> int:
    longest = max(cell_width(clean(column.cell(n))) for n in range(len(column.texts)))
    if not column.is_number:
        longest = min(longest, _MOST_SETTING)
    return max(longest, len(column.title))
