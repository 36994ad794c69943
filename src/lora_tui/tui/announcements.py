"""Tells the user, once, of each notification that came meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import names_of
from lora_tui.cache.records import mark_announced, unannounced
from lora_tui.tui.base_app import BaseApp
from lora_tui.tui.bindings import key_of

_MOST_TOASTS: Final = 3
_LINES_EACH: Final = 8
"""Of the terminal for a toast: they must not cover what one looks at."""


class Announcements:
    """Toasts of `app` about notifications in `db`; `ask` has something small done in a thread."""

    def __init__(
        self,
        app: BaseApp,
        db: sqlite3.Connection,
        cache_path: Path,
        owner: Owner | None,
        ask: Callable[[Callable[[], None]], None],
    ) -> None:
        self._app, self._db, self._ask = app, db, ask
        self._open = partial(open_existing, cache_path, owner)
        self._announced: set[str] = set()

    def look(self) -> None:
        """A toast for each new one; the first sync of an account brings many at once."""
        new = [notice for notice in unannounced(self._db) if notice.id not in self._announced]
        if not new:
            return
        self._announced.update(notice.id for notice in new)
        most = max(1, min(_MOST_TOASTS, self._app.size.height // _LINES_EACH))
        rest = len(new) - most
        names = names_of(self._db, [notice.model_id for notice in new if notice.model_id])
        for notice in new[-most:]:
            name = names.get(notice.model_id or "")
            self._app.notify(
                f"{name}\n{notice.message}" if name else notice.message,
                title=notice.title,
                severity="warning" if "fail" in notice.type else "information",
            )
        if rest > 0:
            self._app.notify(
                f"and {rest} more; {key_of(self._app, 'app.notifications')} shows all",
                title="Notifications",
            )
        self._ask(partial(_remember_announced, self._open, [notice.id for notice in new]))


def _remember_announced(open_it: Callable[[], sqlite3.Connection], ids: Sequence[str]) -> None:
    with closing(open_it()) as db, transaction(db):
        mark_announced(db, ids)
