"""Shows a long list as a virtual table that reads only visible rows from the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit, fit_ends
from lora_tui.widgets.row_columns import WIDE, ColumnLayout, ColumnSet, RenderContext
from lora_tui.widgets.row_view import Row, Rows, RowView
from lora_tui.widgets.styled_lines import Span

_GUTTER: Final = 3
"""Cells left of the first column: the cursor bar, the mark and a blank."""
_MARGIN: Final = 1
_HEADER: Final = 1
_LINES_AT_ONCE: Final = 12
_PART_SECONDS: Final = 0.01
"""Between two parts of many changed lines."""


class RowTable(RowView[Row]):
    """Shows one row a line; the first line is a fixed header."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.down", "move(1)", "Next", show=False),
        bound("list.up", "move(-1)", "Previous", show=False),
    ]

    class SortChosen(Message):
        """The heading of a sortable column was clicked."""

        def __init__(self, sort: str) -> None:
            super().__init__()
            self.sort = sort

    def __init__(
        self,
        rows: Rows[Row],
        columns: ColumnSet[Row],
        *,
        ascii_only: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(rows, ascii_only=ascii_only, id=id)
        self._column_set = columns
        self._sort: str | None = None
        self._descending = True
        self._chosen: tuple[str, ...] = ()
        self._needed: tuple[str, ...] = ()
        self._columns: list[ColumnLayout[Row]] = []
        self._columns_for: tuple[object, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the wanted columns; empty means the most important that fit."""
        return self._chosen

    @columns.setter
    def columns(self, keys: tuple[str, ...]) -> None:
        if keys != self._chosen:
            self._chosen = keys
            self.refresh()

    @property
    def needed(self) -> tuple[str, ...]:
        """The keys of the columns that are shown beside the wanted ones if there is room."""
        return self._needed

    @needed.setter
    def needed(self, keys: tuple[str, ...]) -> None:
        if keys != self._needed:
            self._needed = keys
            self.refresh()

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """The keys of the columns that fit."""
        return tuple(layout.column.key for layout in self._columns)

    def reload(
        self,
        total: int,
        *,
        sort: str,
        descending: bool,
        locate: Callable[[str], int | None],
    ) -> None:
        """See `RowView.reload`.

        The line of the cursor stays where it is on the screen, except that a list which is at its
        top stays at its top for as long as the cursor can be seen there.
        """
        top = self.scroll_offset.y
        line = self.cursor - top
        before, heading = self._drawn_rows(), (self._sort, self._descending, self.total > 0)
        self._sort, self._descending = sort, descending
        self.rows.reload(total, locate, at_top=top == 0)
        self._resize_to(total)
        if not (top == 0 and self.cursor < self._visible_rows):
            self.scroll_to(y=max(0, self.cursor - line), animate=False, force=True)
        if top != self.scroll_offset.y or heading != (sort, descending, total > 0):
            self.refresh()
        else:
            drawn = zip(self._drawn_rows(), before, strict=True)
            changed = [place for place, (row, shown) in enumerate(drawn) if row != shown]
            self._draw_in_parts([top + place + _HEADER for place in changed])
        self.post_message(self.Moved())

    def _draw_in_parts(self, lines: list[int]) -> None:
        """Draw these lines again, few in one frame, so that a key between waits for few."""
        for line in lines[:_LINES_AT_ONCE]:
            self.refresh_lines(line)
        if len(lines) > _LINES_AT_ONCE:
            self.set_timer(_PART_SECONDS, partial(self._draw_in_parts, lines[_LINES_AT_ONCE:]))

    def redraw(self) -> None:
        """See `RowView.redraw`."""
        self._resize_to(self.total)
        self._show_cursor()
        self.refresh()

    def redraw_rows(self, is_meant: Callable[[Row], bool], part: int, parts: int) -> None:
        """Draw only the visible lines of some rows again, of these every `parts`-th from `part`."""
        top = self.scroll_offset.y
        for index in range(top + part, min(self.total, top + self._visible_rows), parts):
            row = self.rows.row(index)
            if row is not None and is_meant(row):
                self.refresh_lines(index + _HEADER)

    def move_to(self, index: int, *, marking: bool = False) -> None:
        """See `RowView.move_to`."""
        left = self.cursor
        self._step(index, marking=marking)
        if self._show_cursor() or marking:
            self.refresh()
        else:
            self.refresh_lines(left + _HEADER)
            self.refresh_lines(self.cursor + _HEADER)
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        self._arrange(width)
        if y < _HEADER:
            return self._header(width)
        index = self.scroll_offset.y + y - _HEADER
        row = self.rows.row(index)
        if row is None:
            if self.skeleton:
                return self._placeholder(index, width)
            return Strip.blank(width, self._style("plain"))
        return self._line(row, width, is_cursor=index == self.cursor)

    def action_move(self, lines: int) -> None:
        """Move the cursor by `lines`."""
        self.move_to(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.move_to(self.cursor + pages * max(1, self._visible_rows - 1))

    def action_extend(self, lines: int) -> None:
        """Mark the rows over which the cursor moves by `lines`."""
        self.move_to(self.cursor + lines, marking=True)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a double click opens, a click on a heading sorts."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < _HEADER:
            for layout in self._columns:
                left = _GUTTER + layout.left
                if layout.column.sort and left <= offset.x < left + layout.width:
                    self.post_message(self.SortChosen(layout.column.sort))
            return
        index = self.scroll_offset.y + offset.y - _HEADER
        if index >= self.total:
            return
        self.move_to(index)
        if event.chain == 2:
            self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self._resize_to(self.total)
        if self.total:
            self.move_to(self.cursor)

    def _show_cursor(self) -> bool:
        """Scroll the line of the cursor into view; returns whether that was needed."""
        top = self.scroll_offset.y
        if self.cursor < top:
            wanted = self.cursor
        elif self.cursor >= top + self._visible_rows:
            wanted = self.cursor - self._visible_rows + 1
        else:
            return False
        self.scroll_to(y=wanted, animate=False, force=True)
        return True

    @property
    def _visible_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - _HEADER)

    def _resize_to(self, total: int) -> None:
        """Take so many rows; only the scroll bar changes where they fill the screen as before.

        A new layout draws all of the table, twenty times as much as a key does.
        """
        before, after = self.virtual_size, Size(self.size.width, total + _HEADER)
        room = self.size.height
        if before.width == after.width and room < min(before.height, after.height):
            self.set_reactive(RowTable.virtual_size, after)
            self._scroll_update(after)
        else:
            self.virtual_size = after

    def _drawn_rows(self) -> list[tuple[Row | None, bool, bool]]:
        """What each visible line shows: a row, the cursor, a mark."""
        top = self.scroll_offset.y
        rows = [(index, self.rows.row(index)) for index in range(top, top + self._visible_rows)]
        return [
            (row, index == self.cursor, row is not None and row.id in self.marked)
            for index, row in rows
        ]

    def _arrange(self, width: int) -> None:
        wanted = (width, self._chosen, self._sort, self._needed)
        if self._columns_for != wanted:
            room = width - _GUTTER - _MARGIN
            self._columns = self._column_set.layout(
                room, self._chosen, sort=self._sort, needed=self._needed
            )
            self._columns_for = wanted

    def _header(self, width: int) -> Strip:
        plain, chosen = self._style("header"), self._style("sorted")
        segments = [Segment(" " * _GUTTER, plain)]
        position = 0
        for layout in self._columns:
            segments.append(Segment(" " * (layout.left - position), plain))
            is_sorted = layout.column.sort == self._sort
            title = self._sorted_title(layout) if is_sorted else layout.title
            overhang = max(0, len(title) - layout.width)
            text = fit(title, layout.width + overhang, right=layout.column.right)
            segments.append(Segment(text, chosen if is_sorted else plain))
            position = layout.left + layout.width + overhang
        return Strip(segments).adjust_cell_length(width, plain)

    def _sorted_title(self, layout: ColumnLayout[Row]) -> str:
        """The title with the arrow of the sort order."""
        arrow = "↓" if self._descending else "↑"
        title = layout.title
        if self.ascii_only:
            arrow = "v" if self._descending else "^"
            blank = " " if len(title) + 2 <= layout.width else ""
            return f"{arrow}{blank}{title}" if layout.column.right else f"{title}{blank}{arrow}"
        return f"{arrow}{title}" if layout.column.right else f"{title}{arrow}"

    def _line(self, row: Row, width: int, *, is_cursor: bool) -> Strip:
        wide = width - _GUTTER - _MARGIN >= WIDE
        bar = (">" if self.ascii_only else "▌") if is_cursor else " "
        mark = ("*" if self.ascii_only else "●") if row.id in self.marked else " "
        plain = self._style("plain", is_cursor)
        segments = [
            Segment(bar, self._style("bar", is_cursor)),
            Segment(mark + " ", self._style("mark", is_cursor)),
        ]
        position = 0
        for layout in self._columns:
            segments.append(Segment(" " * (layout.left - position), plain))
            context = RenderContext(layout.width, wide, self.ascii_only)
            spans = layout.column.cell(row, context)
            segments.extend(self._cell(spans, layout, is_cursor))
            position = layout.left + layout.width
        return Strip(segments).adjust_cell_length(width, plain)

    def _placeholder(self, number: int, width: int) -> Strip:
        """A placeholder line while rows are loading, in the upper two thirds of the table."""
        if number >= self._visible_rows * 2 // 3:
            return Strip.blank(width, self._style("plain"))
        bar, style = "-" if self.ascii_only else "━", self._style("skeleton")
        segments = [Segment(" " * _GUTTER)]
        for place, layout in enumerate(self._columns):
            # lengths vary like words, but stay the same between two frames
            share = (5, 9, 7, 10, 6)[(number * 3 + place * 2) % 5]
            length = max(1, layout.width * share // 10)
            segments.append(Segment(" " * (layout.left + _GUTTER - _length(segments)), style))
            segments.append(Segment(bar * length, style))
        return Strip(segments).adjust_cell_length(width, self._style("plain"))

    def _cell(
        self, spans: Sequence[Span], layout: ColumnLayout[Row], is_cursor: bool
    ) -> list[Segment]:
        """Fit the spans into the cell by padding or cutting the last one."""
        segments = []
        left = layout.width
        for text, style in spans[:-1]:
            segments.append(Segment(text, self._style(style, is_cursor)))
            left -= len(text)
        text, style = spans[-1]
        if layout.column.keeps_end:
            fitted = fit_ends(text, left, ascii_only=self.ascii_only)
        else:
            fitted = fit(text, left, right=layout.column.right, ascii_only=self.ascii_only)
        segments.append(Segment(fitted, self._style(style, is_cursor)))
        return segments


def _length(segments: Sequence[Segment]) -> int:
    return sum(len(segment.text) for segment in segments)
