"""What a screen may ask for: each call changes the cache, and the screen shows the cache.

Every call blocks and is made in a thread, never on the UI's event loop. Progress and results are
read from the cache; only failures come back, as the error family.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter
    from lora_tui.transfers.control import Control


class Writers(Protocol):
    """The writers behind the screens; `lora_tui.engine.online.OnlineWriters` are the real ones."""

    def sync(self, *, full: bool = False) -> None:
        """Bring the cache up to the backend. Raises UnreachableError, AuthenticationError."""

    def load_curve(self, job_id: str) -> None:
        """Fetch the metric points of a job whose model is looked at, if new ones are there."""

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """Fetch all files of a model, or those named; returns when they are done or failed.

        Raises PartlyFailedError, NotFoundError, IntegrityError, DiskError, UnreachableError.
        """

    def cancel_download(self, model_id: str) -> None:
        """Stop fetching this model; what was fetched is kept for a resume."""

    def resume_downloads(self) -> None:
        """Have what is queued fetched, now and later; returns at once."""

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        """Pause, resume, cancel, move or forget files of the queue."""

    def check_downloads(self) -> None:
        """Look whether what was downloaded is still on this disk, unchanged. No network."""

    def keep_text(self, name: str, text: str) -> Path:
        """Write a text into the downloads directory under a free name; where it is.

        Raises DiskError.
        """

    def read_adapter(self, model_id: str) -> Adapter:
        """What the header of its file in the bucket tells, by a few kilobytes of it.

        Raises IntegrityError, NotFoundError, UsageError, UnreachableError, BackendError.
        """

    def mark_notification_read(self, notification_id: str) -> None:
        """Mark it as read in the cache, and in the backend where that is allowed."""
