"""What all full screens have in common: they show the cache, and say so where they have no room."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.screen import Screen

from lora_tui.cache.changes import Topic
from lora_tui.widgets.states import TooSmall

if TYPE_CHECKING:
    from lora_tui.app import LoraTuiApp


class CacheScreen(Screen[None]):
    """A screen over the cache. Override `cache_changed`; act through `lora`."""

    LEAST_WIDTH: ClassVar[int] = 60
    LEAST_HEIGHT: ClassVar[int] = 15

    @property
    def lora(self) -> LoraTuiApp:
        """The application: `sync`, `download`, `open_model`, `copy`, `writers`."""
        return cast("LoraTuiApp", self.app)

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

    def on_mount(self) -> None:
        """Hear of changes; Textual calls this besides the `on_mount` of a subclass."""
        self.lora.cache_changes.subscribe(self, self.cache_changed)
        self.mount(
            TooSmall(
                f"Terminal too small: {self.LEAST_WIDTH} x {self.LEAST_HEIGHT} needed",
                markup=False,
            )
        )

    def on_resize(self, event: events.Resize) -> None:
        """Show nothing rather than something that is cut off."""
        small = event.size.width < self.LEAST_WIDTH or event.size.height < self.LEAST_HEIGHT
        self.set_class(small, "-too-small")
