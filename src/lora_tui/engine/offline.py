"""The writers of an application that is not to reach the network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui.cache.connection import open_cache
from lora_tui.errors import LoraTuiError

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter
    from lora_tui.cache.metadata import Owner
    from lora_tui.transfers.control import Control


class OfflineWriters:
    """`Writers` for --offline: what needs the network raises the reason why there is none."""

    def __init__(
        self, reason: LoraTuiError, cache_path: Path | None = None, owner: Owner | None = None
    ) -> None:
        """`cache_path` is the cache, of `owner`, that the disk is compared with."""
        self._reason = reason
        self._cache_path, self._owner = cache_path, owner

    def sync(self, *, full: bool = False) -> None:
        """Raises the reason."""
        raise self._reason

    def load_curve(self, job_id: str) -> None:
        """Raises the reason."""
        raise self._reason

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """Raises the reason."""
        raise self._reason

    def cancel_download(self, model_id: str) -> None:
        """Nothing runs."""

    def resume_downloads(self) -> None:
        """What is queued waits for a run with a network."""

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        """Raises the reason."""
        raise self._reason

    def check_downloads(self) -> None:
        """See `Writers.check_downloads`."""
        if self._cache_path is not None:
            from lora_tui.library.presence import check_presence

            with closing(open_cache(self._cache_path, self._owner)) as db:
                check_presence(db)

    def keep_text(self, name: str, text: str) -> Path:
        """Raises the reason."""
        raise self._reason

    def read_adapter(self, model_id: str) -> Adapter:
        """Raises the reason."""
        raise self._reason

    def mark_notification_read(self, notification_id: str) -> None:
        """Raises the reason."""
        raise self._reason
