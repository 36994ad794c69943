"""Base class of the screens that show a long list with a search: Models and Jobs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.widget import Widget

from lora_tui.cache.metadata import SyncState
from lora_tui.config.keys import keys_of
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.row_table import RowTable
from lora_tui.widgets.row_view import Rows, RowView
from lora_tui.widgets.screen_bars import StatusBar, TitleBar
from lora_tui.widgets.states import OfflineBanner, StatePanel

if TYPE_CHECKING:
    from lora_tui.cache.job_query import JobQuery
    from lora_tui.cache.model_query import ModelQuery
    from lora_tui.widgets.row_columns import ColumnSet
    from lora_tui.widgets.search_bar import SearchBar


class TableScreen(CacheScreen):
    """A subclass composes a TitleBar, a RowView and a StatusBar.

    What is seldom shown between them is mounted when it is first wanted: each widget delays the
    first frame by a hundredth.
    """

    SEARCHED: ClassVar[str]
    """What the search looks at, in words."""
    CLEARS: ClassVar[str]
    """The name of the key that clears the search and the filters."""
    SORT_NAMES: ClassVar[Mapping[Any, str]]
    """The orders, in words."""
    DIRECTIONS: ClassVar[Mapping[Any, tuple[str, str]]]
    """Of each order and of its reverse, in words."""
    COLUMNS: ClassVar[ColumnSet[Any]]
    """All columns that the table can show."""
    rows: Rows[Any]
    """The rows with the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._search_bar: SearchBar | None = None

    def on_mount(self) -> None:
        """Mount the search after the first frame. Textual calls `on_mount` of every class."""
        self.call_after_refresh(self.while_alive(self._prepare_search))

    def _prepare_search(self) -> None:
        self.search_bar.mount_input()

    @property
    def search_bar(self) -> SearchBar:
        """The search above the list, mounted by the first use if that is before the first frame."""
        if self._search_bar is None:
            from lora_tui.widgets.search_bar import SearchBar

            self._search_bar = SearchBar(self.SEARCHED)
            banner = self.query(OfflineBanner)
            above = banner.first() if banner else self.query_one(TitleBar)
            self.mount(self._search_bar, after=above)
        return self._search_bar

    @property
    @abstractmethod
    def list_query(self) -> ModelQuery | JobQuery:
        """What the list shows, and in which order."""

    @abstractmethod
    def ask(self, query: Any) -> None:
        """Show the list of another query of the same kind."""

    @property
    @abstractmethod
    def view(self) -> RowView[Any]:
        """The list."""

    @abstractmethod
    def search_for(self, text: str) -> None:
        """Show the rows that contain the text."""

    @abstractmethod
    def columns_chosen(self, keys: tuple[str, ...]) -> None:
        """Store the chosen columns for the next start; none means those that fit best."""

    @abstractmethod
    def action_reset(self) -> None:
        """Clear the search or the filters."""

    @property
    def order_text(self) -> str:
        """The order of the list: `Date, newest first`."""
        query = self.list_query
        usual = query.sort in self.SORT_NAMES
        name, directions = self._usual_order(query.sort) if usual else self.orders[query.sort]
        return f"{name}, {directions[int(query.reverse)]}"

    @property
    def orders(self) -> Mapping[Any, tuple[str, tuple[str, str]]]:
        """All orders: each in words, with its direction and the reverse of that."""
        return {sort: self._usual_order(sort) for sort in self.SORT_NAMES}

    def _usual_order(self, sort: str) -> tuple[str, tuple[str, str]]:
        return self.SORT_NAMES[sort], self.DIRECTIONS[sort]

    @property
    def is_searching(self) -> bool:
        """Whether the input of the search has the focus."""
        return self._search_bar is not None and self._search_bar.is_typed_in

    def action_search(self) -> None:
        """Open the search."""
        self.search_bar.open()

    def on_key(self, event: events.Key) -> None:
        """Handle keys before their bindings do, so that quickly typed keys keep their order."""
        bar = self.search_bar
        if bar.is_starting:
            event.stop()
            bar.type(event)
            self.search_for(bar.text)
        elif self.is_searching and event.is_printable:
            event.stop()  # the key was sent to the list just before the focus moved
            bar.type(event)
        elif self.is_searching:
            return
        elif event.key in keys_of(self.CLEARS, self.lora.preferences.keys):
            event.stop()
            self.action_reset()
        elif event.key == "slash":
            event.stop()
            bar.start()

    def action_sort(self) -> None:
        """Choose an order."""

        def chosen(sort: str | None) -> None:
            if sort is not None:
                self._sort(sort)

        from lora_tui.screens.sort_menu import SortMenu

        query = self.list_query
        menu = SortMenu(query.sort, self.orders, reverse=query.reverse)
        self.app.push_screen(menu, self.while_alive(chosen))

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.ask(self.list_query._replace(reverse=not self.list_query.reverse))

    def action_columns(self) -> None:
        """Open the choice of columns; the table changes at once."""
        table = self.query_one(RowTable)

        def changed(keys: tuple[str, ...]) -> None:
            table.columns = keys
            self.columns_chosen(keys)

        from lora_tui.screens.columns import ColumnScreen

        form = ColumnScreen(
            self.COLUMNS, table.columns, table.shown_columns, self.while_alive(changed)
        )
        self.app.push_screen(form)

    def action_copy_id(self) -> None:
        """Copy the id of the row under the cursor."""
        if self.rows.current is not None:
            self.lora.copy(self.rows.current.id)

    @on(RowTable.SortChosen)
    def _heading_clicked(self, event: RowTable.SortChosen) -> None:
        self._sort(event.sort)

    def _sort(self, sort: str) -> None:
        """Sort by this; in reverse if the list is already sorted by it."""
        reverse = not self.list_query.reverse if sort == self.list_query.sort else False
        self.ask(self.list_query._replace(sort=sort, reverse=reverse))  # type: ignore[arg-type]

    def on_search_bar_changed(self) -> None:
        """Narrow the list with each letter."""
        self.search_for(self.search_bar.text)

    def on_search_bar_left(self) -> None:
        """Return to the list."""
        if not self.search_bar.is_starting:  # it may have been opened again since
            view: Widget = self.view
            view.focus()

    def show_banner(self, state: SyncState) -> None:
        """Say above the list that the last sync failed, or that the engine does not run."""
        stopped = self.lora.writers.report.error
        found = self.query(OfflineBanner)
        if stopped is None and not (state.error is not None and state.last_success is not None):
            found.set(display=False)
            return
        banner = found.first() if found else OfflineBanner(markup=False)
        if not found:
            self.mount(banner, after=self.query_one(TitleBar))
        banner.display = True
        if stopped is None:
            refused = self.lora.login_refused
            banner.show_state(state, ascii_only=self.ascii_only, signed_out=refused)
        else:
            banner.show_engine_error(stopped, ascii_only=self.ascii_only)

    def panel_for_empty_list(self, *, is_empty: bool) -> StatePanel | None:
        """The panel in place of the list, which is hidden unless the list is empty."""
        found = self.query(StatePanel)
        if not is_empty:
            found.set(display=False)
            return None
        panel = found.first() if found else StatePanel(markup=False)
        if not found:
            self.mount(panel, before=self.query_one(StatusBar))
        panel.display = True
        return panel

    def is_loading(self, state: SyncState) -> bool:
        """Whether the first sync is running, which will fill the list."""
        return state.last_success is None and (state.running or self.lora.is_syncing)
