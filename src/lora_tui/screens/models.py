"""Models: the list of models, the first screen of the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType

from lora_tui.cache.changes import Topic
from lora_tui.cache.metadata import get_sync_state
from lora_tui.cache.model_query import is_indexed
from lora_tui.cache.models import (
    ModelList,
    ModelQuery,
    ModelSummary,
    count_models,
    names_of,
    natural_direction,
    summaries,
)
from lora_tui.config.keys import keys_of
from lora_tui.reports import MAX_TABLED, MIN_COMPARED
from lora_tui.screens.models_body import ModelsBody
from lora_tui.screens.models_keys import MODEL_KEYS
from lora_tui.screens.models_text import (
    LAST_VIEW,
    condition_columns,
    list_note,
    narrowed_text,
    show_empty_state,
)
from lora_tui.screens.table_screen import TableScreen
from lora_tui.tui.view_state import View, ViewState
from lora_tui.views.orders import DIRECTIONS, SORT_NAMES, other_orders
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.model_columns import MODEL_COLUMNS
from lora_tui.widgets.model_table import ModelTable
from lora_tui.widgets.row_view import Rows, RowView
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar

if TYPE_CHECKING:
    from lora_tui.screens.list_costs import ListCosts
    from lora_tui.screens.slow_order import SlowOrder

_SHOWN: Final = frozenset({Topic.MODELS, Topic.DATASETS, Topic.CURVES, Topic.MARKS, Topic.SERVERS})


class ModelsScreen(TableScreen):
    """All models of the account; the query (order, search, filters) is the state of this screen."""

    CLEARS = "models.reset"
    SORT_NAMES, DIRECTIONS, COLUMNS = SORT_NAMES, DIRECTIONS, MODEL_COLUMNS
    SEARCHED = "name, dataset, base model, description, tags, notes"
    ABOUT = "All models of the account, from the local cache. Stars: the pipeline's rating, 0 to 5."
    AUTO_FOCUS = "RowView"
    LEAST_WIDTH, LEAST_HEIGHT = 40, 10
    LIST_ACTIONS: ClassVar = {"list.open": "open", "models.mark": "mark"}
    BINDINGS: ClassVar[list[BindingType]] = [*MODEL_KEYS]

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows[ModelSummary] = Rows(self._fetch)
        """The rows, the cursor and the marks, shared by table and cards."""
        self.model_query = ModelQuery()
        self._list: ModelList | None = None
        self._shown = self._everything = 0
        self._offered = (False, False, False)
        """Whether comparing, clearing and its undoing were offered when the keys were drawn."""
        self._unmarked: frozenset[str] = frozenset()
        """The marks that were cleared last, to restore them."""
        self._slow: SlowOrder | None = None
        """Sorts by columns that have no index."""
        self._shown_query = self.model_query
        """What the list shows; it differs from `model_query` while that is being sorted."""
        self._is_first_sync = True
        self._costs: ListCosts | None = None
        self._values: tuple[str, ...] = ()
        """The columns beside those of every `ModelSummary` whose values the table needs."""
        self._origin = ""
        """Where the search and the filters are from: the name of a view, or the last run."""

    def compose(self) -> ComposeResult:
        """Title, list, status, keys."""
        yield TitleBar("Models", ascii_only=self.ascii_only)
        yield ModelsBody(self.rows, self.db, self.lora.view_state, ascii_only=self.ascii_only)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Focus the list, as the last run has left it."""
        self.model_query = self.lora.view_state.query
        if self.model_query.where:
            from lora_tui.views.saved import without_broken_condition  # late: seldom needed

            self.model_query, notes = without_broken_condition(self.model_query)
            for note in notes:
                self.notify(note, title=LAST_VIEW, severity="warning", timeout=8)
        self._origin = "" if self.model_query.is_everything else LAST_VIEW
        self.refresh_list()
        self.view.focus()

    async def on_event(self, event: events.Event) -> None:
        """Skip the second calculation of all styles after mounting."""
        if isinstance(event, events.ScreenResume) and not self.stack_updates:
            event.refresh_styles = False
        await super().on_event(event)

    def on_screen_resume(self) -> None:
        """Show the columns that may have been chosen on the Settings screen."""
        for table in self.query(ModelTable):
            table.columns = MODEL_COLUMNS.valid_keys(self.lora.view_state.columns)
        if self._take_columns():
            self._show_list(self.view)

    @property
    def view(self) -> RowView[ModelSummary]:
        """The table or the cards, whichever is shown."""
        return self._body.view

    @property
    def _body(self) -> ModelsBody:
        return self.query_one(ModelsBody)

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """Offer only actions that apply."""
        if action in ("open", "download", "copy_id", "compare", "effect", "load", "mark"):
            return self._shown > 0 or parameters == ("keep",)
        if action == "preview":
            return self._body.has_room_for_preview
        if action == "reset":
            return self._can_reset
        if action == "mark_again":
            return bool(self._unmarked)
        if action == "columns":
            return self.lora.view_state.view is View.TABLE
        return not (action == "search" and self.is_searching)

    def why_not(self, action: str) -> str:
        """See `CacheScreen.why_not`."""
        from lora_tui.screens.unavailable import why_not_in_list  # late: seldom needed

        return why_not_in_list(self.app, action, is_narrowed=not self.model_query.is_everything)

    @property
    def _can_reset(self) -> bool:
        """Whether there is a search, a filter or a mark to clear."""
        narrowed = self._is_sorting or not self.model_query.is_everything
        return narrowed or bool(self.rows.marked)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """Show the preview if the terminal is wide enough."""
        self._show_or_hide_preview()

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the cache."""
        self.query_one(StatusBar).update_from_cache()
        if topics & _SHOWN:
            for kept in (self._costs, self._slow):
                if kept is not None:
                    kept.forget()
            self.refresh_list()
        elif topics & {Topic.SYNC, Topic.JOBS}:
            self._refresh_states(self.rows.total)
        if topics & (_SHOWN | {Topic.TRANSFERS, Topic.JOBS}):
            self._body.update_preview()

    def refresh_list(self) -> None:
        """Read the list again; the cursor stays on its model."""
        query = self.model_query
        self._take_columns()
        if is_indexed(query.sort):
            if self._slow is not None:
                self._slow.cancel()
            self._show_found(ModelList(self.db, query), query)
            return
        if self._slow is None:
            from lora_tui.screens.slow_order import SlowOrder  # late: seldom needed

            self._slow = SlowOrder(self, self._show_found)
        found = self._slow.list_of(query)
        if found is not None:
            self._show_found(found, query)
        elif self._list is None:  # the first frame does not wait
            newest = query.unordered
            self._show_found(ModelList(self.db, newest), newest)
        else:
            self._refresh_states(self.rows.total)

    def _show_found(self, models: ModelList, query: ModelQuery) -> None:
        self._list, self._shown_query = models, query
        total = models.total
        self._everything = total if query.is_everything else count_models(self.db, ModelQuery())
        if self.rows.marked:  # models that were deleted lose their marks
            self.rows.marked &= names_of(self.db, self.rows.marked).keys()
        if (total > 0) != (self._shown > 0):
            self.call_after_refresh(self.while_alive(self.refresh_bindings))
        self._shown = total
        self._show_list(self.view)
        self._sum_costs(query, total)
        self._refresh_states(total)

    @property
    def _is_sorting(self) -> bool:
        """Whether another order than that of the list is being sorted."""
        return self._shown_query != self.model_query

    def _sum_costs(self, query: ModelQuery, total: int) -> None:
        """Sum up what the models of a narrowed list cost."""
        if self._costs is None and not query.is_everything:
            from lora_tui.screens.list_costs import ListCosts

            self._costs = ListCosts(self, self._refresh_note)
        if self._costs is not None:
            self._costs.sum_up(query, total)

    def search_for(self, text: str) -> None:
        """Show the models that contain the text."""
        self.ask(self.model_query._replace(search=text.strip()))

    def action_reset(self) -> None:
        """Clear the search; if there is none, the filters; if there are none, the marks.

        What the last run has left is cleared at once, as the title says. The first press while
        another order is being sorted cancels that.
        """
        if self._is_sorting:
            self.ask(self._shown_query)
        elif self._origin == LAST_VIEW:
            self.show_query(self.model_query.unfiltered)
        elif self.model_query.search:
            self.search_bar.clear()
            self.ask(self.model_query._replace(search=""))
        elif not self.model_query.is_everything:
            self.ask(self.model_query.unfiltered)
        elif self.rows.marked:
            self._unmarked = frozenset(self.rows.marked)
            self.rows.marked.clear()
            self._show_marks()
            key = key_of(self.app, "models.mark_again")
            self.notify(f"{len(self._unmarked)} unmarked; {key} marks them again", timeout=4)

    def action_mark_again(self) -> None:
        """Restore the marks that were cleared last; escape alone never brings one back."""
        self.rows.marked |= names_of(self.db, self._unmarked).keys()
        self._unmarked = frozenset()
        self._show_marks()

    def _show_marks(self) -> None:
        self.view.redraw()
        self._refresh_note()

    def action_view(self) -> None:
        """Switch between table and cards."""
        wanted = View.TABLE if self.lora.view_state.view is View.CARDS else View.CARDS
        self.lora.remember(self.lora.view_state._replace(view=wanted))
        shown = self._body.show_view(self.lora.view_state)
        self._show_list(shown)
        shown.focus()

    def action_views(self) -> None:
        """Open the menu of saved views."""
        from lora_tui.screens.saved_views import open_menu

        open_menu(self, self._show_saved)

    def on_key(self, event: events.Key) -> None:
        """Show a saved view; Textual calls `on_key` of every class."""
        keys = keys_of("models.saved", self.lora.preferences.keys)
        if event.key in keys and not (self.is_searching or self.search_bar.is_starting):
            from lora_tui.screens.saved_views import show_numbered

            event.stop()
            show_numbered(self, keys.index(event.key) + 1, self._show_saved)

    def action_everything(self) -> None:
        """Clear the search and all filters."""
        self.show_query(self.model_query.unfiltered)

    def _show_saved(self, state: ViewState, name: str) -> None:
        """Show a saved view: its query, columns, and table or cards."""
        if state.view is not self.lora.view_state.view:
            self._body.show_view(state)
        self.lora.remember(state)
        self.on_screen_resume()
        self.show_query(state.query)
        self._origin = name
        self._show_list(self.view)
        self._refresh_states(self.rows.total)
        self.view.focus()

    def _prepare_search(self) -> None:
        super()._prepare_search()
        if self.model_query.search and not self.search_bar.text:
            self.search_bar.fill(self.model_query.search)

    def action_preview(self) -> None:
        """Show or hide the preview."""
        state = self.lora.view_state
        if self._body.has_room_beside:
            self.lora.remember(state._replace(preview=not state.preview))
        else:
            self.lora.remember(state._replace(preview_below=not state.preview_below))
        self._show_or_hide_preview()

    def _show_or_hide_preview(self) -> None:
        self._body.show_preview(self.lora.view_state)
        self.refresh_bindings()

    def columns_chosen(self, keys: tuple[str, ...]) -> None:
        """See `TableScreen.columns_chosen`."""
        self.lora.remember(self.lora.view_state._replace(columns=keys))
        if self._take_columns():
            self._show_list(self.view)

    def _take_columns(self) -> bool:
        """Find out which values the table needs; returns whether they are others than before."""
        query = self.model_query
        needed = condition_columns(query)
        for table in self.query(ModelTable):
            table.needed = needed
        keys = (*self.lora.view_state.columns, *needed)
        before = self._values
        self._values = MODEL_COLUMNS.others(keys if is_indexed(query.sort) else (*keys, query.sort))
        return self._values != before

    def action_filter(self) -> None:
        """Open the filters; the list changes at once."""
        from lora_tui.screens.filters import FilterScreen
        from lora_tui.screens.model_filters import read_sections

        query = self.model_query
        sections = read_sections(self.db, query, ascii_only=self.ascii_only)
        self.app.push_screen(FilterScreen(sections, query, self.while_alive(self.ask)))

    def action_download(self) -> None:
        """Download the marked models after a confirmation, else the model under the cursor."""
        if self.rows.marked:
            from lora_tui.screens.marked_models import download_marked

            download_marked(self, self.rows.marked)
        elif (model := self.rows.current) is not None:
            self.lora.download(model.id, model.name)

    def action_load(self) -> None:
        """Choose a server for the model under the cursor, or unload it there."""
        from lora_tui.screens.load_model import choose_server

        if (model := self.rows.current) is not None:
            choose_server(self, model.id, model.name)

    def action_mark(self, what: str) -> None:
        """See `own_marks.mark`: for the models marked in the list, else that under the cursor."""
        from lora_tui.screens.own_marks import mark

        if self.rows.current is not None or what == "keep":
            mark(self, what, self.rows.current, self.rows.marked)

    @property
    def model_list(self) -> ModelList | None:
        """What is listed, in its order."""
        return self._list

    def action_compare(self) -> None:
        """Compare the marked models, in the order of the list."""
        from lora_tui.screens.marked_models import compare_marked

        compare_marked(self, self.rows.marked, self._list)

    def action_effect(self) -> None:
        """Compare columns of the models that the list shows."""
        from lora_tui.screens.effect import EffectScreen

        self.app.push_screen(EffectScreen(self.model_query))

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        self.lora.open_model(event.row_id)

    @on(RowView.Moved)
    def _moved(self) -> None:
        self._refresh_note()
        self._body.update_preview()

    def move_from(self, model_id: str, step: int) -> str | None:
        """Move the cursor to the model `step` lines below this one, and return its id.

        None, and a line that says why, where there is none.
        """
        self.refresh_list()  # changes are not shown while a screen is above
        place = self._list.position(model_id) if self._list else None
        if place is None:
            self.notify("This model is not in the list: the search or the filters hide it")
            return None
        found = self.rows.row(place + step)
        if found is None:
            self.notify(f"This is the {'last' if step > 0 else 'first'} model of the list")
            return None
        self.view.move_to(place + step)
        return found.id

    def _show_list(self, view: RowView[ModelSummary]) -> None:
        if self._list is None:
            return
        query = self._shown_query
        view.reload(
            self._list.total,
            sort=query.sort,
            descending=natural_direction(query.sort) is not query.reverse,
            locate=self._locate,
        )

    def _locate(self, model_id: str) -> int | None:
        """The position of the cursor's model, or None to keep the cursor at the top.

        The first sync stores the oldest models first; an untouched cursor stays at the newest.
        """
        if self._list is None or (self._is_first_sync and not self.rows.moved):
            return None
        return self._list.position(model_id)

    def _fetch(self, offset: int, limit: int) -> Sequence[ModelSummary]:
        if self._list is None:
            return ()
        return summaries(self.db, self._list.window(offset, limit), self._values)

    @property
    def orders(self) -> Mapping[Any, tuple[str, tuple[str, str]]]:
        """See `TableScreen.orders`: the indexed ones, then all other columns."""
        return {**super().orders, **other_orders()}

    @property
    def list_query(self) -> ModelQuery:
        """See `TableScreen.list_query`."""
        return self.model_query

    def ask(self, query: ModelQuery) -> None:
        """See `TableScreen.ask`."""
        if query != self.model_query:
            self._origin = ""
            self.model_query = query
            self.lora.remember(self.lora.view_state.with_query(query), soon=False)
            self.refresh_list()

    def show_query(self, query: ModelQuery) -> None:
        """Show the list of another query, whose search is not typed."""
        self.search_bar.fill(query.search)
        self.ask(query)

    def _refresh_states(self, total: int) -> None:
        """Update title, banner and empty state."""
        query, state = self.model_query, get_sync_state(self.db)
        self._is_first_sync = state.last_success is None
        title = self.query_one(TitleBar)
        if self._is_sorting and self._slow is not None:
            title.detail = self._slow.text
        else:
            title.detail = "" if query.is_everything else self._narrowed_text(query)
        title.aside = self.order_text
        self.show_banner(state)
        loading = total == 0 and query.is_everything and self.is_loading(state)
        self.view.skeleton = loading
        self.set_class(loading, "-loading")
        self.set_class(total == 0 and not loading, "-empty")
        panel = self.panel_for_empty_list(is_empty=total == 0)
        if panel is not None:
            show_empty_state(panel, self.lora, query, state, loading=loading)
        self._refresh_note()

    def _narrowed_text(self, query: ModelQuery) -> str:
        key = key_of(self.app, "models.reset")
        return narrowed_text(query, self._origin, self.size.width - len(self.order_text), key)

    def _refresh_note(self) -> None:
        marked = len(self.rows.marked)
        self.query_one(StatusBar).note = list_note(
            self.rows.total,
            self._everything,
            marked,
            cost=None if self._costs is None else self._costs.cost,
            compare_key=key_of(self.app, "models.compare")
            if MIN_COMPARED <= marked <= MAX_TABLED
            else None,
        )
        offered = (marked >= MIN_COMPARED, self._can_reset, bool(self._unmarked))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()
