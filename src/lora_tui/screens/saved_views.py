"""The menu of saved views: choose, save, rename, delete."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from lora_tui.config.keys import keys_of
from lora_tui.errors import LoraTuiError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.list_form import ListForm
from lora_tui.tui.view_state import ViewState
from lora_tui.views.orders import order_text
from lora_tui.views.saved import (
    LONGEST_NAME,
    WITH_A_KEY,
    SavedView,
    delete_view,
    read_views,
    rename_view,
    save_view,
    without_vanished,
)
from lora_tui.views.words import query_text
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.text_line import TextLine

if TYPE_CHECKING:
    from lora_tui.tui.base_screen import CacheScreen
    from lora_tui.tui.cache_app import CacheApp

Show = Callable[[ViewState, str], None]
"""Shows the list of models in this state, which is that of the view with this name."""

_NAME_WIDTH: Final = 24


def open_menu(screen: CacheScreen, show: Show) -> None:
    """Open the menu over the list of models; what is chosen is shown."""
    path = _path_of(screen)
    if path is not None:

        def chosen(view: SavedView | None) -> None:
            if view is not None:
                _show(screen, view, show)

        menu = SavedViewsMenu(path, screen.lora.view_state)
        screen.app.push_screen(menu, screen.while_alive(chosen))


def show_numbered(screen: CacheScreen, number: int, show: Show) -> None:
    """Show the saved view with this number, from 1; a line says where there is none."""
    path = _path_of(screen)
    if path is None:
        return
    views = _read(screen.lora, path)
    if views is None:
        return
    if number <= len(views):
        _show(screen, views[number - 1], show)
        return
    there_are = {0: "No views are saved", 1: "Only one view is saved"}.get(
        len(views), f"Only {len(views)} views are saved"
    )
    screen.notify(f"{there_are}: {key_of(screen.app, 'models.views')} saves this list as one")


def _path_of(screen: CacheScreen) -> Path | None:
    path = screen.lora.saved_views
    if path is None:
        screen.notify("This application keeps no views")
    return path


def _read(app: CacheApp, path: Path) -> tuple[SavedView, ...] | None:
    """The views of the file; None, and a toast, where it can't be read."""
    try:
        found = read_views(path)
    except LoraTuiError as error:
        app.show_error(error, title="Views not read")
        return None
    if found.damage:
        app.notify(found.damage, severity="warning", timeout=8)
    return found.views


def _show(screen: CacheScreen, view: SavedView, show: Show) -> None:
    usable, notes = without_vanished(view)
    show(screen.lora.view_state.of_view(usable), view.name)
    if notes:
        screen.notify("\n".join(notes), title=f"View {view.name}", severity="warning", timeout=8)


class SavedViewsMenu(ListForm[SavedView | None]):
    """Answers the chosen view, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "close", "Close", show=False),
        bound("models.views", "close", "Close", show=False),
        bound("views.save", "save", "Save the list as a view", show=False),
        bound("views.rename", "rename", "Rename", show=False),
        bound("views.delete", "delete", "Delete", show=False),
        bound("models.saved", "number", "Show the view with this number", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(self, path: Path, state: ViewState) -> None:
        """`state`: how the list of models is shown now, which can be saved."""
        super().__init__()
        self._path, self._state = path, state
        self._views: tuple[SavedView, ...] = ()
        self._renamed: str | None = None
        """The view that gets the name which is being typed; None: a new one gets it."""

    def compose(self) -> ComposeResult:
        """A line for each view, and one for typing a name."""
        yield Dialog(
            OptionList(markup=False),
            Label(markup=False, id="view-hint", classes="dialog-heading"),
            TextLine(
                id="view-name",
                compact=True,
                select_on_focus=False,
                max_length=LONGEST_NAME,
                placeholder="name of the view",
            ),
            title="Views",
            keys=[
                ("list.open", "shows"),
                ("views.save", "saves the list"),
                ("views.rename", "renames"),
                ("views.delete", "deletes"),
            ],
        )

    def on_mount(self) -> None:
        """Read the views."""
        self._refresh_views()
        self._listing.focus()

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """Draw the lines in their new width."""
        self.call_after_refresh(self.while_alive(self._draw))

    def on_key(self, event: events.Key) -> None:
        """A digit shows the view with this number."""
        keys = keys_of("models.saved", self._lora.preferences.keys)
        if event.key in keys and not self._is_typing:
            event.stop()
            place = keys.index(event.key)
            if place < len(self._views):
                self.dismiss(self._views[place])
            else:
                self.notify(f"There is no view {place + 1} yet")

    def action_number(self) -> None:
        """See `on_key`."""

    def action_close(self) -> None:
        """Close the line for typing, or the menu."""
        if self._is_typing:
            self._stop_typing()
        else:
            self.dismiss(None)

    def action_save(self) -> None:
        """Type a name for how the list is shown now."""
        self._type(None, "")

    def action_rename(self) -> None:
        """Type another name for the view under the cursor."""
        view = self._chosen
        if view is None:
            self._say_none("rename")
        else:
            self._type(view.name, view.name)

    def action_delete(self) -> None:
        """Delete the view under the cursor after a confirmation."""
        view = self._chosen
        if view is None:
            self._say_none("delete")
            return
        call = partial(delete_view, self._path, view.name)

        def answered(wanted: bool | None) -> None:
            if wanted:
                self._change(call, "View not deleted")

        asked = ConfirmScreen("Delete", f"Delete the view {view.name}?")
        self.app.push_screen(asked, self.while_alive(answered))

    @property
    def _lora(self) -> CacheApp:
        return cast("CacheApp", self.app)

    @property
    def _listing(self) -> OptionList:
        return self.query_one(OptionList)

    @property
    def _field(self) -> Input:
        return self.query_one("#view-name", Input)

    @property
    def _is_typing(self) -> bool:
        return self._field.has_class("-open")

    @property
    def _chosen(self) -> SavedView | None:
        place = self._listing.highlighted
        return self._views[place] if place is not None and place < len(self._views) else None

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._views[event.option_index])

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        event.stop()
        name = event.value.strip()
        if not name:
            self._stop_typing()
        elif self._renamed is None:
            view = self._state.saved_as(name)
            self._change(partial(save_view, self._path, view), "View not saved", name)
        else:
            call = partial(rename_view, self._path, self._renamed, name)
            self._change(call, "View not renamed", name)

    def _say_none(self, verb: str) -> None:
        key = key_of(self.app, "views.save")
        self.notify(f"There is no view to {verb}: {key} saves this list as one")

    def _type(self, renamed: str | None, text: str) -> None:
        self._renamed = renamed
        self._field.value = text
        self._field.cursor_position = len(text)
        self._field.add_class("-open")
        self._field.focus()
        self._draw()

    def _stop_typing(self) -> None:
        self._field.remove_class("-open")
        self._listing.focus()
        self._draw()

    def _change(self, call: Callable[[], object], if_failed: str, name: str = "") -> None:
        """Change the file in a thread, then show the views, with the cursor on this one."""

        def changed(_: object) -> None:
            self._stop_typing()
            self._refresh_views(name)

        failed = partial(self._lora.show_error, title=if_failed)
        self.start(call, changed, failed=failed, name="views", in_turn="views")

    def _refresh_views(self, name: str = "") -> None:
        place = self._listing.highlighted or 0
        self._views = _read(self._lora, self._path) or ()
        names = [view.name.casefold() for view in self._views]
        if name.casefold() in names:
            place = names.index(name.casefold())
        self._listing.clear_options()
        self._listing.add_options([Option("") for _ in self._views])
        self._listing.highlighted = min(place, len(names) - 1) if names else None
        self._listing.display = bool(names)
        self.call_after_refresh(self.while_alive(self._draw))

    def _draw(self) -> None:
        width = self._listing.scrollable_content_region.width
        for place, view in enumerate(self._views):
            self._listing.replace_option_prompt_at_index(place, self._line(place, view, width))
        hint = self.query_one("#view-hint", Label)
        hint.update(self._hint())
        hint.display = bool(self._hint())

    def _line(self, place: int, view: SavedView, width: int) -> Content:
        ascii_only = self.app.has_class("-ascii")
        number = f"{place + 1} " if place < WITH_A_KEY else "  "
        words = query_text(view.query) or "all models"
        order = f"; {order_text(view.query)}"
        rest = max(0, width - len(number) - _NAME_WIDTH - 1)
        return Content.assemble(
            (number, "$accent"),
            fit(view.name, _NAME_WIDTH, ascii_only=ascii_only) + " ",
            (fit(words + order, rest, ascii_only=ascii_only), "$secondary"),
        )

    def _hint(self) -> str:
        if self._is_typing:
            saved = query_text(self._state.query) or "all models"
            return f"New name of {self._renamed}" if self._renamed else f"Save {saved} as"
        return "" if self._views else "No views are saved yet"
