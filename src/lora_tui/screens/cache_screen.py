"""What all full screens have in common: they show the cache, and hear of its changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import database_explained, open_existing
from lora_tui.screens.base_screen import BaseScreen

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp

Found = TypeVar("Found")


class CacheScreen(BaseScreen[None]):
    """A screen over the cache. Override `cache_changed`; act through `lora`."""

    LEAST_WIDTH: ClassVar[int] = 60
    LEAST_HEIGHT: ClassVar[int] = 15
    ABOUT: ClassVar[str] = ""
    """What one looks at, in a sentence, for the help."""

    @property
    def lora(self) -> CacheApp:
        """The application: `sync`, `download`, `open_model`, `copy`, `writers`."""
        return cast("CacheApp", self.app)

    @property
    def db(self) -> sqlite3.Connection:
        """The connection of the UI's thread; for reading."""
        return self.lora.db

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII can be shown."""
        return self.lora.ascii_only

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Called on the UI's thread after any writer has changed the cache."""

    def read(
        self,
        query: Callable[[sqlite3.Connection], Found],
        then: Callable[[Found], None],
        *,
        exclusive: str,
    ) -> None:
        """Show what a query finds; it has a connection and a thread of its own. See `start`."""
        path, owner = self.lora.cache_path, self.lora.cache_owner

        def ask() -> Found:
            with database_explained(path), closing(open_existing(path, owner)) as db:
                return query(db)

        self.start(ask, then, name="read", exclusive=exclusive)

    def on_mount(self) -> None:
        """Hear of changes; Textual calls this besides the `on_mount` of a subclass."""
        self.lora.cache_changes.subscribe(self, self.while_alive(self.cache_changed))

    def on_unmount(self) -> None:
        """Unsubscribe: a subscription keeps the screen and its widgets in memory."""
        self.lora.cache_changes.unsubscribe(self)
