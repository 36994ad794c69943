"""The list of models as its two views share it: a window of rows, one cursor, the marks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.style import Style
from textual.binding import BindingType
from textual.message import Message
from textual.scroll_view import ScrollView

from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.widgets.bindings import bound

_PAGE: Final = 64
_PAGES_KEPT: Final = 8

Fetch = Callable[[int, int], Sequence[ModelSummary]]
"""Offset and limit → the models of that window."""


class ModelRows:
    """A window of `fetch(offset, limit)`; a long list costs no more than what is looked at."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self.marked: set[str] = set()
        self.cursor = 0
        self.moved = False
        """Whether the cursor was ever put elsewhere by somebody, or anything marked."""
        self.total = 0
        self._current_id: str | None = None
        self._pages: OrderedDict[int, Sequence[ModelSummary]] = OrderedDict()
        self._anchor: int | None = None
        """Where the range that is being marked began."""
        self._marked_before: frozenset[str] = frozenset()

    @property
    def current(self) -> ModelSummary | None:
        """The model under the cursor."""
        return self.row(self.cursor)

    def row(self, index: int) -> ModelSummary | None:
        """The model at a place of the list; None where there is none (any more)."""
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
        """Put the cursor there, or on the nearest model that there is."""
        self._anchor = None
        self.moved = self.moved or index != self.cursor
        self._put_cursor(index)

    def toggle_mark(self) -> None:
        """Mark or unmark the model under the cursor."""
        self.moved = True
        if self.current is not None:
            self.marked ^= {self.current.id}

    def extend_to(self, index: int) -> None:
        """Move the cursor and mark all on the way; on the way back, unmark what was added."""
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
        """The list has changed: forget what was read, and keep the cursor on its model.

        `locate` tells where a model stands now; it is asked only if the model has moved. Where it
        is gone the cursor stays at its place; with `at_top` it goes to the first model.
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


class ModelView(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws `rows` line by line; remote text goes into segments as it is, nothing parses markup."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"models--{name}"
        for name in (
            "header",
            "sorted",
            "cursor",
            "card",
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
            "skeleton",
        )
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the model under the cursor"),
        bound("models.mark", "mark", "Mark", tooltip="Mark the model"),
        bound("list.first", "first", "First model", show=False),
        bound("list.last", "last", "Last model", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    class Opened(Message):
        """A model is to be opened."""

        def __init__(self, model_id: str) -> None:
            super().__init__()
            self.model_id = model_id

    class Moved(Message):
        """The cursor or a mark moved."""

    def __init__(self, rows: ModelRows, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = rows
        self.ascii_only = ascii_only
        self._loading_rows = False
        self._styles: dict[tuple[str, bool], Style] = {}

    @property
    def total(self) -> int:
        """How many models the list has."""
        return self.rows.total

    @property
    def cursor(self) -> int:
        """At which place of the list the cursor is."""
        return self.rows.cursor

    @property
    def current(self) -> ModelSummary | None:
        """The model under the cursor."""
        return self.rows.current

    @property
    def marked(self) -> set[str]:
        """The ids of the marked models."""
        return self.rows.marked

    @property
    def skeleton(self) -> bool:
        """Whether placeholders stand where the first models are about to appear."""
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
        sort: Sort,
        descending: bool,
        locate: Callable[[str], int | None],
    ) -> None:
        """The list has changed: read it anew, and keep the cursor on its model."""
        raise NotImplementedError

    def redraw(self) -> None:
        """The rows, their cursor or their marks have changed elsewhere: draw all of it."""
        raise NotImplementedError

    def move_to(self, index: int, *, marking: bool = False) -> None:
        """Put the cursor on a model and bring it into view; `marking` marks all on the way."""
        raise NotImplementedError

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """An empty list has nothing to open or to mark."""
        return self.total > 0 or action not in ("open", "mark")

    def action_open(self) -> None:
        """Open the model under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.id))

    def action_mark(self) -> None:
        """Mark or unmark the model under the cursor, and go to the next."""
        if self.current is not None:
            self.rows.toggle_mark()
            self.move_to(self.cursor + 1)

    def action_first(self) -> None:
        """To the first model."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last model."""
        self.move_to(self.total - 1)

    def notify_style_update(self) -> None:
        """Forget the styles of the previous theme."""
        self._styles.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        """The cursor looks different with the focus."""
        self._styles.clear()
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different without the focus."""
        self._styles.clear()
        self.refresh()

    def _step(self, index: int, *, marking: bool) -> None:
        """Move the cursor of the rows."""
        if marking:
            self.rows.extend_to(index)
        else:
            self.rows.move_to(index)

    def _style(self, name: str, is_cursor: bool = False, ground: str = "") -> Style:
        """The style of a part; on the cursor's ground, or on that of a card."""
        key = (ground + name, is_cursor)
        style = self._styles.get(key)
        if style is None:
            style = self.get_component_rich_style(f"models--{name}")
            if is_cursor:
                cursor = self.get_component_rich_style("models--cursor")
                style += Style(bgcolor=cursor.bgcolor, bold=name == "name" or style.bold)
                # of a terminal's own colours some can't be seen on some
                if name == "name" or self.app.native_ansi_color:
                    style += Style(color=cursor.color)
            elif ground:
                under = self.get_component_rich_style(f"models--{ground}")
                style += Style(bgcolor=under.bgcolor)
            self._styles[key] = style
        return style
