"""Writers that are made when one is first needed: the list is drawn before a network is loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui.errors import UnreachableError

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.control import Control


class DeferredWriters:
    """`Writers` that `make` makes at the first call, in the thread that calls.

    What `make` raises, the call raises, and the next call tries again.
    """

    def __init__(self, make: Callable[[], OnlineWriters]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: OnlineWriters | None = None
        self._closed = False

    def close(self) -> None:
        """See `OnlineWriters.close`; a call that comes later makes none."""
        with self._lock:
            self._closed = True
            made = self._made
        if made is not None:
            made.close()

    def sync(self, *, full: bool = False) -> None:
        """See `Writers.sync`."""
        self._writers().sync(full=full)

    def load_curve(self, job_id: str) -> None:
        """See `Writers.load_curve`."""
        self._writers().load_curve(job_id)

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """See `Writers.download`."""
        self._writers().download(model_id, files)

    def cancel_download(self, model_id: str) -> None:
        """See `Writers.cancel_download`."""
        self._writers().cancel_download(model_id)

    def resume_downloads(self) -> None:
        """See `Writers.resume_downloads`."""
        self._writers().resume_downloads()

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        """See `Writers.control_downloads`."""
        self._writers().control_downloads(what, ids)

    def check_downloads(self) -> None:
        """See `Writers.check_downloads`."""
        self._writers().check_downloads()

    def keep_text(self, name: str, text: str) -> Path:
        """See `Writers.keep_text`."""
        return self._writers().keep_text(name, text)

    def read_adapter(self, model_id: str) -> Adapter:
        """See `Writers.read_adapter`."""
        return self._writers().read_adapter(model_id)

    def mark_notification_read(self, notification_id: str) -> None:
        """See `Writers.mark_notification_read`."""
        self._writers().mark_notification_read(notification_id)

    def _writers(self) -> OnlineWriters:
        with self._lock:
            if self._closed:
                raise UnreachableError("The application is ending")
            if self._made is None:
                self._made = self._make()
            return self._made
