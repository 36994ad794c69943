"""The list of models: a virtual table that reads only the lines on the screen out of the cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.widgets.cells import fit
from lora_tui.widgets.model_columns import WIDE, Look, Placed, arrange
from lora_tui.widgets.stars import Span

_PAGE: Final = 64
_PAGES_KEPT: Final = 8
_GUTTER: Final = 3
"""The cursor's bar, the mark and a blank, left of the first column."""
_MARGIN: Final = 1
_HEADER: Final = 1


class ModelTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows `fetch(offset, limit)` as lines; the first line is the header and stays.

    Remote text goes into segments as it is: nothing here parses markup.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"model-table--{name}"
        for name in (
            "header",
            "sorted",
            "cursor",
            "bar",
            "mark",
            "name",
            "plain",
            "muted",
            "faint",
            "stars",
            "curve",
            "downloaded",
            "excellent",
            "good",
            "fair",
            "poor",
            "overfit",
        )
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", tooltip="Open the model under the cursor"),
        Binding("space", "mark", "Mark", tooltip="Mark the model for comparison"),
        Binding("j,down", "move(1)", "Next model", show=False),
        Binding("k,up", "move(-1)", "Previous model", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Next page", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Previous page", show=False),
        Binding("g,home", "first", "First model", show=False),
        Binding("G,end", "last", "Last model", show=False),
    ]

    class Opened(Message):
        """A model is to be opened."""

        def __init__(self, model_id: str) -> None:
            super().__init__()
            self.model_id = model_id

    class SortChosen(Message):
        """The heading of a column that can be sorted by was clicked."""

        def __init__(self, sort: Sort) -> None:
            super().__init__()
            self.sort = sort

    class Moved(Message):
        """The cursor or a mark moved."""

    def __init__(
        self,
        fetch: Callable[[int, int], Sequence[ModelSummary]],
        *,
        ascii_only: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.marked: set[str] = set()
        self.cursor = 0
        self._fetch = fetch
        self._ascii_only = ascii_only
        self._total = 0
        self._current_id: str | None = None
        self._sort = Sort.CREATED
        self._descending = True
        self._pages: OrderedDict[int, Sequence[ModelSummary]] = OrderedDict()
        self._columns: list[Placed] = []
        self._columns_for = -1
        self._styles: dict[tuple[str, bool], Style] = {}

    @property
    def total(self) -> int:
        """How many models the list has."""
        return self._total

    @property
    def current(self) -> ModelSummary | None:
        """The model under the cursor."""
        return self._row(self.cursor)

    def reload(
        self,
        total: int,
        *,
        sort: Sort,
        descending: bool,
        locate: Callable[[str], int | None],
    ) -> None:
        """The list has changed: read it anew, and keep the cursor on its model.

        `locate` tells where a model stands now; it is asked only if the model has moved. The line
        of the cursor stays where it is on the screen, except that a list which is at its top
        stays at its top for as long as the cursor can be seen there.
        """
        top = self.scroll_offset.y
        line = self.cursor - top
        before = self._current_id
        self._pages.clear()
        self._total, self._sort, self._descending = total, sort, descending
        self.virtual_size = Size(self.size.width, total + _HEADER)
        position: int | None = min(self.cursor, max(0, total - 1))
        if before is not None and not self._is_at(position or 0, before):
            position = locate(before)
            if position is None:
                position = 0 if top == 0 else min(self.cursor, max(0, total - 1))
        self.cursor = position or 0
        self._current_id = self.current.id if self.current else None
        if not (top == 0 and self.cursor < self._visible_rows):
            self.scroll_to(y=max(0, self.cursor - line), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def move_to(self, index: int) -> None:
        """Put the cursor on a line, and bring that line into view."""
        index = max(0, min(index, self._total - 1)) if self._total else 0
        left, self.cursor = self.cursor, index
        self._current_id = self.current.id if self.current else None
        top = self.scroll_offset.y
        if index < top:
            top = index
        elif index >= top + self._visible_rows:
            top = index - self._visible_rows + 1
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
            self.refresh()
        else:
            self.refresh_lines(left + _HEADER)
            self.refresh_lines(index + _HEADER)
        self.post_message(self.Moved())

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """An empty list has nothing to open or to mark."""
        return self._total > 0 or action not in ("open", "mark")

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        self._arrange(width)
        if y < _HEADER:
            return self._header(width)
        index = self.scroll_offset.y + y - _HEADER
        row = self._row(index) if index < self._total else None
        if row is None:
            return Strip.blank(width, self._style("plain"))
        return self._line(row, width, is_cursor=index == self.cursor)

    def action_open(self) -> None:
        """Open the model under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.id))

    def action_mark(self) -> None:
        """Mark or unmark the model under the cursor, and go to the next."""
        if self.current is not None:
            self.marked ^= {self.current.id}
            self.move_to(self.cursor + 1)

    def action_move(self, lines: int) -> None:
        """Move the cursor by `lines`."""
        self.move_to(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by screens."""
        self.move_to(self.cursor + pages * max(1, self._visible_rows - 1))

    def action_first(self) -> None:
        """To the first model."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last model."""
        self.move_to(self._total - 1)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a double click opens, a click on a heading sorts."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < _HEADER:
            for placed in self._columns:
                left = _GUTTER + placed.left
                if placed.column.sort and left <= offset.x < left + placed.width:
                    self.post_message(self.SortChosen(placed.column.sort))
            return
        index = self.scroll_offset.y + offset.y - _HEADER
        if index >= self._total:
            return
        self.move_to(index)
        if event.chain == 2:
            self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self.virtual_size = Size(self.size.width, self._total + _HEADER)
        if self._total:
            self.move_to(self.cursor)

    def notify_style_update(self) -> None:
        """Forget the styles of the previous theme."""
        self._styles.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        """The cursor's line looks different with the focus."""
        self._styles.clear()
        self.refresh()

    def on_blur(self) -> None:
        """The cursor's line looks different without the focus."""
        self._styles.clear()
        self.refresh()

    @property
    def _visible_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - _HEADER)

    def _is_at(self, index: int, model_id: str) -> bool:
        row = self._row(index)
        return row is not None and row.id == model_id

    def _row(self, index: int) -> ModelSummary | None:
        if not 0 <= index < self._total:
            return None
        number, place = divmod(index, _PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = self._fetch(number * _PAGE, _PAGE)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page[place] if place < len(page) else None

    def _arrange(self, width: int) -> None:
        if self._columns_for != width:
            self._columns = arrange(width - _GUTTER - _MARGIN)
            self._columns_for = width

    def _header(self, width: int) -> Strip:
        plain, chosen = self._style("header"), self._style("sorted")
        segments = [Segment(" " * _GUTTER, plain)]
        position = 0
        for placed in self._columns:
            segments.append(Segment(" " * (placed.left - position), plain))
            is_sorted = placed.column.sort is self._sort
            title = self._sorted_title(placed) if is_sorted else placed.column.title
            overhang = max(0, len(title) - placed.width)
            text = fit(title, placed.width + overhang, right=placed.column.right)
            segments.append(Segment(text, chosen if is_sorted else plain))
            position = placed.left + placed.width + overhang
        return Strip(segments).adjust_cell_length(width, plain)

    def _sorted_title(self, placed: Placed) -> str:
        """The title with its arrow, on the side where there is room."""
        arrow = "↓" if self._descending else "↑"
        title = placed.column.title
        if self._ascii_only:
            arrow = "v" if self._descending else "^"
            blank = " " if len(title) + 2 <= placed.width else ""
            return f"{arrow}{blank}{title}" if placed.column.right else f"{title}{blank}{arrow}"
        return f"{arrow}{title}" if placed.column.right else f"{title}{arrow}"

    def _line(self, row: ModelSummary, width: int, *, is_cursor: bool) -> Strip:
        wide = width - _GUTTER - _MARGIN >= WIDE
        bar = (">" if self._ascii_only else "▌") if is_cursor else " "
        mark = ("*" if self._ascii_only else "●") if row.id in self.marked else " "
        plain = self._style("plain", is_cursor)
        segments = [
            Segment(bar, self._style("bar", is_cursor)),
            Segment(mark + " ", self._style("mark", is_cursor)),
        ]
        position = 0
        for placed in self._columns:
            segments.append(Segment(" " * (placed.left - position), plain))
            look = Look(placed.width, wide, self._ascii_only)
            spans = placed.column.cell(row, look)
            segments.extend(self._cell(spans, placed, is_cursor))
            position = placed.left + placed.width
        return Strip(segments).adjust_cell_length(width, plain)

    def _cell(self, spans: Sequence[Span], placed: Placed, is_cursor: bool) -> list[Segment]:
        """The spans in the cell's width; all but the last are short ones of our own."""
        segments = []
        left = placed.width
        for text, style in spans[:-1]:
            segments.append(Segment(text, self._style(style, is_cursor)))
            left -= len(text)
        text, style = spans[-1]
        fitted = fit(text, left, right=placed.column.right, ascii_only=self._ascii_only)
        segments.append(Segment(fitted, self._style(style, is_cursor)))
        return segments

    def _style(self, name: str, is_cursor: bool = False) -> Style:
        key = (name, is_cursor)
        style = self._styles.get(key)
        if style is None:
            style = self.get_component_rich_style(f"model-table--{name}")
            if is_cursor:
                cursor = self.get_component_rich_style("model-table--cursor")
                style += Style(bgcolor=cursor.bgcolor, bold=name == "name" or style.bold)
                # of a terminal's own colours some can't be seen on some
                if name == "name" or self.app.native_ansi_color:
                    style += Style(color=cursor.color)
            self._styles[key] = style
        return style
