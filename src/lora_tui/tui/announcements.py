"""Shows one toast for new notifications; each notification is announced once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lora_tui import formats
from lora_tui.cache.models import names_of
from lora_tui.cache.records import unannounced
from lora_tui.tui.base_app import BaseApp
from lora_tui.widgets.bindings import key_of

if TYPE_CHECKING:
    from lora_tui.domain import Notification


class Announcements:
    """Announces the notifications in `db`. `remember` notes those that were shown."""

    def __init__(
        self, app: BaseApp, db: sqlite3.Connection, remember: Callable[[Sequence[str]], None]
    ) -> None:
        self._app, self._db, self._remember = app, db, remember
        self._announced: set[str] = set()

    def announce_new(self) -> None:
        """Show one toast: the new notification, or how many there are."""
        new = [notice for notice in unannounced(self._db) if notice.id not in self._announced]
        if not new:
            return
        self._announced.update(notice.id for notice in new)
        if len(new) == 1:
            self._show(new[0])
        else:
            self._show_count(new)
        self._app.alert_terminal(
            f"{new[0].title}: {new[0].message}" if len(new) == 1 else f"{len(new)} notifications"
        )
        self._remember([notice.id for notice in new])

    def _show(self, notice: Notification) -> None:
        names = names_of(self._db, [notice.model_id]) if notice.model_id else {}
        name = next(iter(names.values()), "")
        self._app.notify(
            f"{name}\n{notice.message}" if name else notice.message,
            title=notice.title,
            severity="warning" if _reports_failure(notice) else "information",
        )

    def _show_count(self, new: Sequence[Notification]) -> None:
        failures = sum(map(_reports_failure, new))
        counted = f"{formats.counted(failures, 'failure')} among them. " if failures else ""
        self._app.notify(
            f"{counted}Press {key_of(self._app, 'app.notifications')} to read them",
            title=f"{len(new)} new notifications",
            severity="warning" if failures else "information",
        )


def _reports_failure(notice: Notification) -> bool:
    return "fail" in notice.type
