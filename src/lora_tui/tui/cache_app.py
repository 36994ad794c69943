"""The application as its screens see it: what they read, and what they may ask for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui.tui.base_app import BaseApp

if TYPE_CHECKING:
    from textual.signal import Signal

    from lora_tui.cache.changes import Topic
    from lora_tui.cache.metadata import Owner
    from lora_tui.engine.writers import Writers
    from lora_tui.tui.view_state import ViewState


class CacheApp(BaseApp):
    """An application over a cache. `app.py` has the one there is; it knows the screens."""

    db: sqlite3.Connection
    """The connection of the UI's thread; for reading."""
    cache_path: Path
    cache_owner: Owner | None
    cache_changes: Signal[frozenset[Topic]]
    """Published on the UI's thread after any writer has changed the cache."""
    writers: Writers
    profile: str
    signed_out: bool
    """Whether the user signed out."""
    clears_cache: bool
    """Whether what is cached is to be removed then."""

    @property
    def is_syncing(self) -> bool:
        """Whether a sync of ours is under way."""
        raise NotImplementedError

    @property
    def login_refused(self) -> bool:
        """Whether nothing goes on before somebody signs in."""
        raise NotImplementedError

    @property
    def view_state(self) -> ViewState:
        """How the list is looked at, as it was the last time."""
        raise NotImplementedError

    def remember(self, state: ViewState) -> None:
        """Look at the list in this way the next time too."""
        raise NotImplementedError

    def poll_cache(self) -> None:
        """Tell the screens what has changed since the last call."""
        raise NotImplementedError

    def ask(self, call: Callable[[], None]) -> None:
        """Have a writer do something small; a failure becomes a toast."""
        raise NotImplementedError

    def open_model(self, model_id: str) -> None:
        """Show one model."""
        raise NotImplementedError

    def download(self, model_id: str, name: str, files: Sequence[str] | None = None) -> None:
        """Fetch all files of a model, or those named; say when it is done."""
        raise NotImplementedError

    def look_at_disk(self) -> None:
        """Find out whether what was downloaded is still there."""
        raise NotImplementedError

    def mark_read(self, notification_id: str) -> None:
        """Mark a notification as read, here and in the backend."""
        raise NotImplementedError

    def take_preferences(self) -> None:
        """What the file says now counts from now on. Raises ConfigError."""
        raise NotImplementedError

    def choose_theme(self, theme: str) -> None:
        """These colours, from now on."""
        raise NotImplementedError

    def action_sign_out(self) -> None:
        """End the session, once that is confirmed."""
        raise NotImplementedError
