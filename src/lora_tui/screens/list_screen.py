"""Base class of the screens that show one list: keys, empty state, a cursor that stays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Self, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.visual import VisualType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.cache.changes import Topic
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel

if TYPE_CHECKING:
    from textual.css.styles import RulesMap

Row = TypeVar("Row")

LIST_KEYS: Final[tuple[BindingType, ...]] = (
    bound("list.down", "cursor_down", "Next", show=False),
    bound("list.up", "cursor_up", "Previous", show=False),
    bound("list.page_down", "page_down", "Next page", show=False),
    bound("list.page_up", "page_up", "Previous page", show=False),
    bound("list.first", "first", "First", show=False),
    bound("list.last", "last", "Last", show=False),
)
"""For the BINDINGS of a list, after the binding of `enter`."""


class FullList(OptionList):
    """A list that fills a screen. Put LIST_KEYS into its BINDINGS.

    Its screen says with `can_select` whether `enter` does anything on the line under the cursor.
    """

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer `enter` only where it does something."""
        return action != "select" or bool(getattr(self.screen, "can_select", True))

    was_moved = False
    """Whether the user chose the row under the cursor, by a key or a click."""
    _replaced: int | None = None
    """The line whose text is being replaced."""

    def replace_option_prompt_at_index(self, index: int, prompt: VisualType) -> Self:
        """Replace the text of one line; the others are not drawn again."""
        self._replaced = index if index in self._heights else None
        try:
            return super().replace_option_prompt_at_index(index, prompt)
        finally:
            self._replaced = None

    def _clear_caches(self) -> None:
        """Forget what was drawn: all, unless one line is replaced by another of its height.

        OptionList forgets all for each line, which takes 40 ms and more of a full screen beside a
        download that wants both cores.
        """
        index = self._replaced
        if index is None:
            super()._clear_caches()
            return
        option, height = self.get_option_at_index(index), self._heights[index]
        padding = self.get_component_styles("option-list--option").padding
        width = self.scrollable_content_region.width - padding.width
        if self._get_visual(option).get_height(cast("RulesMap", self.styles), width) != height:
            super()._clear_caches()
            return
        for key in [key for key in self._option_render_cache.keys() if key[0] is option]:  # noqa: SIM118
            self._option_render_cache.discard(key)
        self.refresh_lines(self._index_to_line[index], height)

    def action_cursor_down(self) -> None:
        """Move down; the cursor stays on that row from then on."""
        self.was_moved = True
        super().action_cursor_down()

    def action_cursor_up(self) -> None:
        """Move up; the cursor stays on that row from then on."""
        self.was_moved = True
        super().action_cursor_up()

    def action_page_down(self) -> None:
        """Move a page down."""
        self.was_moved = True
        super().action_page_down()  # type: ignore[no-untyped-call]

    def action_page_up(self) -> None:
        """Move a page up."""
        self.was_moved = True
        super().action_page_up()  # type: ignore[no-untyped-call]

    def action_last(self) -> None:
        """Move to the last row."""
        self.was_moved = True
        super().action_last()

    def action_first(self) -> None:
        """Move to the first row, and show what is above it."""
        self.was_moved = False
        super().action_first()
        self.scroll_home(animate=False, immediate=True)

    def on_click(self) -> None:
        """A click chooses a row."""
        self.was_moved = True


class ListScreen(CacheScreen, Generic[Row]):
    """A subclass defines the abstract methods; its `refresh_list` calls `show_rows`."""

    HEADING: ClassVar[str]
    TOPICS: ClassVar[frozenset[Topic]]
    """Changes of these topics change the list."""
    STARTS_AT_TOP: ClassVar[bool] = False
    """Whether the cursor stays on the first row, whichever it is, until the user moves it."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Row | None] = []
        """The row of each line; None for a heading."""

    @abstractmethod
    def compose_list(self) -> ComposeResult:
        """Yield the list, a FullList, and what is above it."""

    @abstractmethod
    def refresh_list(self) -> None:
        """Read the rows, and pass them to `show_rows`."""

    @abstractmethod
    def identity(self, row: Row) -> Hashable:
        """A value that identifies a row after the list was read again."""

    @abstractmethod
    def say_empty(self, panel: StatePanel) -> None:
        """Write the text that is shown when the list is empty."""

    @abstractmethod
    def open_row(self, row: Row) -> None:
        """Called for `enter` on a row."""

    @property
    def can_select(self) -> bool:
        """Whether `enter` does anything on the row under the cursor."""
        return self.chosen is not None

    def compose(self) -> ComposeResult:
        """The list, or the text for an empty list."""
        yield TitleBar(self.HEADING, ascii_only=self.ascii_only)
        yield from self.compose_list()
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the list."""
        self.refresh_list()
        self.query_one(FullList).focus()

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """Draw the lines again in their new width."""
        self.call_after_refresh(self.while_alive(self.refresh_list))

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show what the writers wrote."""
        if topics & self.TOPICS:
            self.refresh_list()
        self.query_one(StatusBar).update_from_cache()

    def action_back(self) -> None:
        """Close this screen."""
        self.dismiss()

    @property
    def line_width(self) -> int:
        """The width of a line, in columns."""
        return max(40, self.size.width - 4)

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        index = self.query_one(FullList).highlighted if self.is_mounted else None
        return self._lines[index] if index is not None and index < len(self._lines) else None

    def show_rows(self, lines: Sequence[tuple[Row | None, Content]]) -> None:
        """Show these lines; a row of None is a heading. The cursor stays on its row if it can."""
        listing, chosen = self.query_one(FullList), self.chosen
        before, headings = self._identities(), [row is None for row in self._lines]
        self._lines = [row for row, _ in lines]
        if headings == [row is None for row in self._lines]:
            for index, (_, content) in enumerate(lines):
                if not _is_same(listing.get_option_at_index(index).prompt, content):
                    listing.replace_option_prompt_at_index(index, content)
        else:
            listing.clear_options()
            listing.add_options([Option(content, disabled=row is None) for row, content in lines])
        if before != self._identities():
            holds = listing.was_moved or not self.STARTS_AT_TOP
            listing.highlighted = self._place_of(chosen if holds else None)
            if not holds:
                listing.scroll_home(animate=False, immediate=True)
        panel = self.query_one(StatePanel)
        listing.display = bool(lines)
        panel.display = not lines
        if not lines:
            self.say_empty(panel)
        self.refresh_bindings()

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        self.refresh_bindings()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        row = self._lines[event.option_index]
        if row is not None:
            self.open_row(row)

    def _identities(self) -> list[Hashable]:
        return [None if row is None else self.identity(row) for row in self._lines]

    def _place_of(self, chosen: Row | None) -> int | None:
        """The line of that row, or of the first row."""
        identities = self._identities()
        if chosen is not None and self.identity(chosen) in identities:
            return identities.index(self.identity(chosen))
        return next((index for index, row in enumerate(self._lines) if row is not None), None)


def _is_same(shown: VisualType, content: Content) -> bool:
    """Whether both look alike; two of the same text may differ in their colours."""
    return shown is content or (isinstance(shown, Content) and content.is_same(shown))
