"""The base of the views of a long list, with its rows, cursor and marks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from rich.style import Style
from textual.binding import BindingType
from textual.message import Message
from textual.scroll_view import ScrollView

from lora_tui.widgets.bindings import bound

_PAGE: Final = 64
_PAGES_KEPT: Final = 8


class HasId(Protocol):
    """A row of a list."""

    @property
    def id(self) -> str:
        """What identifies it after the list was read again."""


Row = TypeVar("Row", bound=HasId)


class Rows(Generic[Row]):
    """The rows of the list, fetched in pages when they are needed, with one cursor and marks."""

    def __init__(self, fetch: Callable[[int, int], Sequence[Row]]) -> None:
        """`fetch`: offset and limit → the rows in that range."""
        self.fetch = fetch
        self.marked: set[str] = set()
        self.cursor = 0
        self.moved = False
        """Whether the user has moved the cursor or marked a row."""
        self.total = 0
        self._current_id: str | None = None
        self._pages: OrderedDict[int, Sequence[Row]] = OrderedDict()
        self._anchor: int | None = None
        """The start of the range that is being marked."""
        self._marked_before: frozenset[str] = frozenset()

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.row(self.cursor)

    def row(self, index: int) -> Row | None:
        """The row at an index; None where there is none."""
        if not 0 <= index < self.total:
            return None
        number, place = divmod(index, _PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = self.fetch(number * _PAGE, _PAGE)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page[place] if place < len(page) else None

    def move_to(self, index: int) -> None:
        """Move the cursor to an index, or to the nearest valid one."""
        self._anchor = None
        self.moved = self.moved or index != self.cursor
        self._put_cursor(index)

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""
        self.moved = True
        if self.current is not None:
            self.marked ^= {self.current.id}

    def extend_to(self, index: int) -> None:
        """Move the cursor and mark the rows passed; moving back unmarks them again."""
        if self._anchor is None:
            self._anchor, self._marked_before = self.cursor, frozenset(self.marked)
        left = self.cursor
        self.moved = True
        self._put_cursor(index)
        for place in range(min(left, self.cursor), max(left, self.cursor) + 1):
            row = self.row(place)
            if row is None:
                continue
            if min(self._anchor, self.cursor) <= place <= max(self._anchor, self.cursor):
                self.marked.add(row.id)
            elif row.id not in self._marked_before:
                self.marked.discard(row.id)

    def reload(self, total: int, locate: Callable[[str], int | None], *, at_top: bool) -> None:
        """Forget the fetched rows after a change, and keep the cursor on its row.

        `locate` returns the index of a row's id; it is called only if the row has moved. Where it
        is gone the cursor stays at its place; with `at_top` it goes to the first row.
        """
        before = self._current_id
        self._pages.clear()
        self._anchor = None
        self.total = total
        place = min(self.cursor, max(0, total - 1))
        row = self.row(place)
        if before is not None and (row is None or row.id != before):
            found = locate(before)
            place = found if found is not None else 0 if at_top else place
        self._put_cursor(place)

    def _put_cursor(self, index: int) -> None:
        self.cursor = max(0, min(index, self.total - 1))
        self._current_id = self.current.id if self.current else None


def row_styles(*roles: str) -> set[str]:
    """The component classes for style names, which models.tcss defines.

    Each delays the first frame, so a view declares what it adds to those of `RowView`.
    """
    return {f"rows--{role}" for role in roles}


class RowView(ScrollView, Generic[Row], can_focus=True, inherit_bindings=False):
    """Draws `rows` line by line; markup in remote text is not interpreted."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = row_styles(
        *("header", "sorted", "cursor", "bar", "mark", "name", "plain", "muted", "faint"),
        *("stars", "curve", "downloaded", "skeleton"),
        *("excellent", "good", "fair", "poor", "overfit"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the row under the cursor"),
        bound("list.first", "first", "First", show=False),
        bound("list.last", "last", "Last", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    class Opened(Message):
        """The user opens a row."""

        def __init__(self, row_id: str) -> None:
            super().__init__()
            self.row_id = row_id

    class Moved(Message):
        """The cursor or the marks have changed."""

    def __init__(self, rows: Rows[Row], *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        # every list gets the focus as soon as it is shown; so it is styled once, not twice
        self.set_reactive(RowView.has_focus, True)
        self.rows = rows
        self.ascii_only = ascii_only
        self._loading_rows = False
        self._styles: dict[tuple[str, bool], Style] = {}

    @property
    def total(self) -> int:
        """The number of rows in the list."""
        return self.rows.total

    @property
    def cursor(self) -> int:
        """The index of the cursor."""
        return self.rows.cursor

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows.current

    @property
    def marked(self) -> set[str]:
        """The ids of the marked rows."""
        return self.rows.marked

    @property
    def skeleton(self) -> bool:
        """Whether placeholders are shown while rows are loading."""
        return self._loading_rows

    @skeleton.setter
    def skeleton(self, shown: bool) -> None:
        if shown is not self._loading_rows:
            self._loading_rows = shown
            self.refresh()

    def reload(
        self,
        total: int,
        *,
        sort: str,
        descending: bool,
        locate: Callable[[str], int | None],
    ) -> None:
        """Read the list again after a change, and keep the cursor on its row."""

    def redraw(self) -> None:
        """Draw everything again after the other view has changed rows, cursor or marks."""

    def move_to(self, index: int, *, marking: bool = False) -> None:
        """Move the cursor to an index and scroll to it; `marking` marks the rows passed."""

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Disable opening and marking in an empty list."""
        return self.total > 0 or action not in ("open", "mark")

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.id))

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and move to the next."""
        if self.current is not None:
            self.rows.toggle_mark()
            self.move_to(self.cursor + 1)

    def action_first(self) -> None:
        """Move to the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """Move to the last row."""
        self.move_to(self.total - 1)

    def notify_style_update(self) -> None:
        """Forget the styles of the previous theme."""
        self._styles.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        """Draw the cursor as focused."""
        self._styles.clear()
        self.refresh()

    def on_blur(self) -> None:
        """Draw the cursor as not focused."""
        self._styles.clear()
        self.refresh()

    def _step(self, index: int, *, marking: bool) -> None:
        """Move the cursor of the rows."""
        if marking:
            self.rows.extend_to(index)
        else:
            self.rows.move_to(index)

    def _style(self, name: str, is_cursor: bool = False, ground: str = "") -> Style:
        """The style of a part, on the background of the cursor or of a card."""
        key = (ground + name, is_cursor)
        style = self._styles.get(key)
        if style is None:
            style = self.get_component_rich_style(f"rows--{name}")
            if is_cursor:
                cursor = self.get_component_rich_style("rows--cursor")
                style += Style(bgcolor=cursor.bgcolor, bold=name == "name" or style.bold)
                # some colours of a terminal's own palette are unreadable on others
                if name == "name" or self.app.native_ansi_color:
                    style += Style(color=cursor.color)
            elif ground:
                under = self.get_component_rich_style(f"rows--{ground}")
                style += Style(bgcolor=under.bgcolor)
            self._styles[key] = style
        return style
