"""Notifications: what the pipeline told, unread first; enter reads one and jumps to its model."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui import clock, formats
from lora_tui.bindings import bound, key_of
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import names_of
from lora_tui.cache.records import get_notifications
from lora_tui.domain import Notification
from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.widgets.cells import settled
from lora_tui.widgets.key_bar import KeyBar
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.status_bar import StatusBar
from lora_tui.widgets.title_bar import TitleBar


class NoticeList(OptionList, inherit_bindings=False):
    """The list; its keys stand in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Mark as read and open the model"),
        bound("list.down", "cursor_down", "Next", show=False),
        bound("list.up", "cursor_up", "Previous", show=False),
        bound("list.page_down", "page_down", "Next page", show=False),
        bound("list.page_up", "page_up", "Previous page", show=False),
        bound("list.first", "first", "First", show=False),
        bound("list.last", "last", "Last", show=False),
    ]


class NotificationsScreen(CacheScreen):
    """The newest 200."""

    CSS_PATH = "notifications.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.notifications", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._notices: list[Notification] = []

    def compose(self) -> ComposeResult:
        """The list, or that there is nothing."""
        yield TitleBar("Notifications", ascii_only=self.ascii_only)
        yield NoticeList(id="notices", markup=False)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the list."""
        self.refresh_list()
        self.query_one(OptionList).focus()

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show what the writers wrote."""
        if topics & {Topic.NOTIFICATIONS, Topic.MODELS}:
            self.refresh_list()
        self.query_one(StatusBar).refresh()

    def refresh_list(self) -> None:
        """Read the list anew; the cursor stays on its notification."""
        listing = self.query_one(OptionList)
        index = listing.highlighted
        chosen = self._notices[index].id if index is not None and self._notices else None
        self._notices = get_notifications(self.db)
        listing.clear_options()
        names = names_of(self.db, [notice.model_id for notice in self._notices if notice.model_id])
        listing.add_options(
            [
                Option(self._line(notice, names.get(notice.model_id or "")))
                for notice in self._notices
            ]
        )
        ids = [notice.id for notice in self._notices]
        if ids:
            listing.highlighted = ids.index(chosen) if chosen in ids else 0
        listing.display = bool(ids)
        panel = self.query_one(StatePanel)
        panel.display = not ids
        if not ids:
            key = key_of(self.app, "app.sync")
            panel.say("No notifications", f"They arrive when a model is ready; {key} syncs")
        unread = sum(not notice.read for notice in self._notices)
        self.query_one(TitleBar).detail = f"{unread} unread" if unread else "all read"

    def action_back(self) -> None:
        """To where one came from."""
        self.dismiss()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        """Mark it as read, and jump to its model."""
        notice = self._notices[event.option_index]
        if not notice.read:
            self.lora.mark_read(notice.id)
        if notice.model_id is None:
            return
        if notice.model_id not in names_of(self.db, [notice.model_id]):
            key = key_of(self.app, "app.sync")
            self.notify(f"That model is not in the cache; {key} syncs", severity="warning")
        else:
            self.lora.open_model(notice.model_id)

    def _line(self, notice: Notification, name: str | None) -> Content:
        dot = ("*" if self.ascii_only else "●") if not notice.read else " "
        age = formats.age(notice.created_at, clock.now()) if notice.created_at else ""
        title = settled(notice.title, ascii_only=self.ascii_only)
        name = settled(name, ascii_only=self.ascii_only) if name else None
        message = settled(notice.message, ascii_only=self.ascii_only)
        return Content.assemble(
            (f"{dot} ", "$accent"),
            (title, "bold" if not notice.read else "$secondary"),
            (f"  {age}", "$secondary"),
            (f"\n  {name}  " if name else "\n  ", "$primary"),
            (message, "$secondary"),
        )
