"""Notifications of the pipeline; enter marks one as read and opens its model or its job.

Unread ones come first. One that is marked keeps its place until the screen is opened again: a row
that left from under the cursor would take the reader's place with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.jobs import dataset_names
from lora_tui.cache.models import names_of
from lora_tui.cache.records import get_notifications
from lora_tui.domain import Notification
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel

_INDENT: Final = 2
_UNDATED: Final = datetime.min.replace(tzinfo=UTC)
_MOST_LINES: Final = 4
"""Of a message."""


class NoticeList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Mark as read, and open the model or job"),
        *LIST_KEYS,
    ]


class NotificationsScreen(ListScreen[Notification]):
    """Shows the newest 200 notifications."""

    ABOUT = "Notifications of the pipeline. Opening one marks it as read, also on the web."
    CSS_PATH = "list_screen.tcss"
    HEADING = "Notifications"
    TOPICS = frozenset({Topic.NOTIFICATIONS, Topic.MODELS, Topic.JOBS, Topic.DATASETS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.notifications", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._were_unread: set[str] = set()
        """The ids of those that were unread at any time while this screen was open."""
        self._being_marked: set[str] = set()
        """The ids of those that are shown as read before the cache says so."""
        self._drawn: dict[tuple[Notification, str | None, str], Content] = {}
        """The line of each notification, for the name of its model or dataset, and its age."""
        self._drawn_width = 0

    def compose_list(self) -> ComposeResult:
        """The list."""
        yield NoticeList(id="notices", markup=False)

    def identity(self, row: Notification) -> str:
        """The id of the notification."""
        return row.id

    def refresh_list(self) -> None:
        """Read the notifications and count the unread ones."""
        notices = [
            replace(notice, read=notice.read or notice.id in self._being_marked)
            for notice in self._in_order(get_notifications(self.db))
        ]
        self.show_rows(self._lines_of(notices, self._names(notices)))
        unread = sum(not notice.read for notice in notices)
        self.query_one(TitleBar).detail = f"{unread} unread" if unread else "all read"

    def say_empty(self, panel: StatePanel) -> None:
        """Say when notifications arrive."""
        key = key_of(self.app, "app.sync")
        panel.show_message(
            "No notifications",
            "The pipeline sends one when a model is ready or a training fails",
            f"Press {key} to sync",
        )

    def open_row(self, row: Notification) -> None:
        """Mark the notification as read, and open its model, or its job where it has none."""
        if not row.read:
            self._mark_read(row.id)
        if row.model_id is not None:
            self.open_model(row.model_id)
        elif row.job_id is not None:
            self.open_job(row.job_id)

    def _mark_read(self, notification_id: str) -> None:
        """Show it as read at once: a sync that writes may keep the cache for a while."""

        def ended() -> None:
            self._being_marked.discard(notification_id)
            self.refresh_list()

        self._being_marked.add(notification_id)
        self.refresh_list()
        self.lora.mark_read(notification_id, ended=self.while_alive(ended))

    @property
    def can_select(self) -> bool:
        """Whether the notification has a model or a job, or is unread."""
        row = self.chosen
        return row is not None and bool(row.model_id or row.job_id or not row.read)

    def _names(self, notices: Sequence[Notification]) -> Mapping[str, str]:
        """By the id of a notification: the name of its model, else of the dataset of its job."""
        models = names_of(self.db, [notice.model_id for notice in notices if notice.model_id])
        datasets = dataset_names(self.db, [notice.job_id for notice in notices if notice.job_id])
        names = {
            notice.id: models.get(notice.model_id or "") or datasets.get(notice.job_id or "")
            for notice in notices
        }
        return {notice_id: name for notice_id, name in names.items() if name}

    def _in_order(self, notices: list[Notification]) -> list[Notification]:
        """Those first that are unread, or were when this screen was opened, each part by date."""
        self._were_unread.update(notice.id for notice in notices if not notice.read)
        upper = [notice for notice in notices if notice.id in self._were_unread]
        # The cache gives unread ones before read ones; both are in order.
        upper.sort(key=lambda notice: notice.id)
        upper.sort(key=lambda notice: notice.created_at or _UNDATED, reverse=True)
        return upper + [notice for notice in notices if notice.id not in self._were_unread]

    def _lines_of(
        self, notices: Sequence[Notification], names: Mapping[str, str]
    ) -> list[tuple[Notification, Content]]:
        """The line of each; one that says what it said before is the same object."""
        now, before = clock.now(), self._drawn
        if self._drawn_width != self.line_width:
            before, self._drawn_width = {}, self.line_width
        self._drawn, lines = {}, []
        for notice in notices:
            age = formats.age(notice.created_at, now) if notice.created_at else ""
            says = (notice, names.get(notice.id), age)
            self._drawn[says] = line = before.get(says) or self._line(*says)
            lines.append((notice, line))
        return lines

    def _line(self, notice: Notification, name: str | None, age: str) -> Content:
        dot = ("*" if self.ascii_only else "●") if not notice.read else " "
        title = normalize_width(notice.title, ascii_only=self.ascii_only)
        name = normalize_width(name, ascii_only=self.ascii_only) if name else None
        # the name is the beginning of the message's first line
        message = normalize_width(notice.message, ascii_only=self.ascii_only)
        lead = f"{name}  " if name else ""
        if name and message.startswith(name):
            lead, message = name, message.removeprefix(name)
        lines = wrap(lead + message, self.line_width - _INDENT)[:_MOST_LINES] or [""]
        head = lines[0][: len(lead)]
        return Content.assemble(
            (f"{dot} ", "$accent"),
            (title, "bold" if not notice.read else "$secondary"),
            (f"  {age}", "$secondary"),
            (f"\n  {head}", "$primary"),
            (lines[0][len(head) :], "$secondary"),
            ("".join(f"\n  {line}" for line in lines[1:]), "$secondary"),
        )
