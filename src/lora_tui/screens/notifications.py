"""Notifications: what the pipeline told, unread first; enter reads one and jumps to its model."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Footer, OptionList
from textual.widgets.option_list import Option

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import get_model
from lora_tui.cache.records import get_notifications
from lora_tui.domain import Notification
from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.widgets.cells import settled
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.status_bar import StatusBar
from lora_tui.widgets.title_bar import TitleBar


class NotificationsScreen(CacheScreen):
    """The newest 200."""

    CSS_PATH = "notifications.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "app.pop_screen", "Back", key_display="esc"),
        Binding("enter", "open", "Open the model", show=True),
        Binding("j", "cursor(1)", "Next", show=False),
        Binding("k", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._notices: list[Notification] = []

    def compose(self) -> ComposeResult:
        """The list, or that there is nothing."""
        yield TitleBar("Notifications", ascii_only=self.ascii_only)
        yield OptionList(id="notices", markup=False)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield Footer(show_command_palette=False)

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
        listing.add_options([Option(self._line(notice)) for notice in self._notices])
        ids = [notice.id for notice in self._notices]
        if ids:
            listing.highlighted = ids.index(chosen) if chosen in ids else 0
        listing.display = bool(ids)
        panel = self.query_one(StatePanel)
        panel.display = not ids
        if not ids:
            panel.say("No notifications", "They arrive when a model is ready; r syncs")
        unread = sum(not notice.read for notice in self._notices)
        self.query_one(TitleBar).detail = f"{unread} unread" if unread else "all read"

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        listing = self.query_one(OptionList)
        if lines > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    def action_open(self) -> None:
        """Mark the notification as read, and jump to its model."""
        index = self.query_one(OptionList).highlighted
        if index is None or index >= len(self._notices):
            return
        notice = self._notices[index]
        if not notice.read:
            self.lora.mark_read(notice.id)
        if notice.model_id is None:
            return
        if get_model(self.db, notice.model_id) is None:
            self.notify("That model is not in the cache; r syncs", severity="warning", markup=False)
        else:
            self.lora.open_model(notice.model_id)

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_open()

    def _line(self, notice: Notification) -> Content:
        dot = ("*" if self.ascii_only else "●") if not notice.read else " "
        age = formats.age(notice.created_at, clock.now()) if notice.created_at else ""
        title = settled(notice.title, ascii_only=self.ascii_only)
        message = settled(notice.message, ascii_only=self.ascii_only)
        return Content.assemble(
            (f"{dot} ", "$accent"),
            (title, "bold" if not notice.read else "$text-muted"),
            (f"  {age}", "$text-muted"),
            (f"\n  {message}", "$text-muted"),
        )
