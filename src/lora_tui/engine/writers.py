"""The calls that screens make: each changes the cache, and the screen shows the cache.

Every call blocks, so it is made in a thread. Screens read progress and results from the cache; a
call returns nothing, or raises a LoraTuiError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Self

from lora_tui.cache.connection import open_cache, translate_database_errors
from lora_tui.errors import UnreachableError

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter
    from lora_tui.cache.metadata import Owner
    from lora_tui.config.table import Profile
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.control import Control


class Writers:
    """The writers behind the screens. Safe to call from any thread.

    The first call that needs the network calls `connect`, in its own thread, so that the list is
    drawn before network modules are loaded. If `connect` raises, the call raises, and the next one
    tries again. Without `connect` (--offline) such a call raises UnreachableError.
    """

    def __init__(
        self,
        cache_path: Path,
        downloads_dir: Path,
        *,
        owner: Owner | None = None,
        connect: Callable[[], OnlineWriters] | None = None,
    ) -> None:
        """`owner`: the owner of the cache. `downloads_dir`: the directory of `save_text`."""
        self.cache_path = cache_path
        self._downloads_dir = downloads_dir
        self._owner = owner
        self._connect = connect
        self._lock = threading.Lock()
        self._connected: OnlineWriters | None = None
        self._closed = False

    @classmethod
    def for_profile(cls, profile: Profile, owner: Owner, *, offline: bool = False) -> Self:
        """The writers for the cache of `owner` in the project of `profile`."""

        def connect() -> OnlineWriters:
            from lora_tui.engine.online import OnlineWriters

            return OnlineWriters(profile)

        return cls(
            profile.cache_path(owner.user_id),
            profile.downloads_dir,
            owner=owner,
            connect=None if offline else connect,
        )

    def close(self) -> None:
        """Stop transfers (the next start resumes them); later calls raise UnreachableError."""
        with self._lock:
            self._closed = True
            connected = self._connected
        if connected is not None:
            connected.close()

    def sync(self, *, full: bool = False) -> None:
        """Update the cache from the backend; if another process does it, return at once.

        Raises UnreachableError, AuthenticationError.
        """
        self._online().sync(full=full)

    def load_curve(self, job_id: str) -> None:
        """Fetch new metric points of a job whose model is shown."""
        self._online().load_curve(job_id)

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """Download all files of a model, or those named; returns when they are done or failed.

        Raises PartlyFailedError, NotFoundError, IntegrityError, DiskError, UnreachableError.
        """
        self._online().download(model_id, files)

    def cancel_download(self, model_id: str) -> None:
        """Cancel the download of a model; partial files are kept for a resume."""
        from lora_tui.transfers.control import cancel_model

        with self._cache() as db:
            cancel_model(db, model_id)

    def resume_downloads(self) -> None:
        """Fetch what is queued, now and later; returns at once. Does nothing offline."""
        if self._connect is not None:
            self._online().resume_downloads()

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        """Pause, resume, cancel, move or forget files of the queue."""
        self._online().control_downloads(what, ids)

    def check_downloads(self) -> None:
        """Check whether downloaded files still exist unchanged. No network."""
        with self._lock:  # as `connect`: two threads that import one package at once may deadlock
            from lora_tui.library.disk_check import check_presence

        with self._cache() as db:
            check_presence(db)

    def save_text(self, name: str, text: str) -> Path:
        """Write a text into the downloads directory, under an unused name. No network.

        Raises DiskError.
        """
        from lora_tui.reports.exports import write_new_file

        return write_new_file(self._downloads_dir, name, text)

    def read_adapter(self, model_id: str) -> Adapter:
        """Read the header of a model's weights in the bucket, a few kilobytes.

        Raises IntegrityError, NotFoundError, UsageError, UnreachableError, BackendError.
        """
        return self._online().read_adapter(model_id)

    def mark_notification_read(self, notification_id: str) -> None:
        """Mark it as read in the cache, and in the backend if policies allow it."""
        self._online().mark_notification_read(notification_id)

    @contextmanager
    def _cache(self) -> Iterator[Connection]:
        if self._closed:  # the cache may be deleted by now: opening it would create it
            raise UnreachableError("The application is ending")
        with (
            translate_database_errors(self.cache_path),
            closing(open_cache(self.cache_path, self._owner)) as db,
        ):
            yield db

    def _online(self) -> OnlineWriters:
        if self._connect is None:
            raise UnreachableError(
                "This needs the network, and --offline was given",
                remedy="start without --offline",
            )
        with self._lock:
            if self._closed:
                raise UnreachableError("The application is ending")
            if self._connected is None:
                self._connected = self._connect()
            return self._connected
