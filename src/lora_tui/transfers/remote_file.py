"""The object that a file is fetched from, shared by its readers: link, version, missing spans."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from lora_tui import formats
from lora_tui.errors import BackendError, IntegrityError
from lora_tui.transfers.connection import ChangedError, RangeResponse
from lora_tui.transfers.connection_scaling import ConnectionScaling
from lora_tui.transfers.part import Part, Version
from lora_tui.transfers.pieces import Pieces

MOST_BYTES: Final = 5 << 30
"""The limit of one file in the bucket."""

_LINK_IS_NEW_SECONDS: Final = 5.0
"""A link that is refused within this time has not expired."""


class RemoteFile:
    """Link, version and missing spans of one object."""

    def __init__(
        self, part: Part, sign: Callable[[], str], expected_size: int | None, connections: int
    ) -> None:
        self.part = part
        self.expected = expected_size
        self.scaling = ConnectionScaling(connections)
        self.version: Version | None = None
        self.pieces = Pieces(None)
        resumed = part.resume()
        if resumed is not None and expected_size in (None, resumed[0].total):
            self.version, self.pieces = resumed
        self._sign = sign
        self._sign_lock = threading.Lock()
        self._url: str | None = None
        self._signed_at = 0.0
        self._changed = False

    @property
    def resumable(self) -> bool:
        """Whether bytes of several responses can be combined."""
        return self.version is not None and self.version.resumable

    @property
    def is_unknown(self) -> bool:
        """Whether there was no response yet."""
        return self.version is None and not self._changed

    def link(self) -> str:
        """The signed URL; makes one if there is none."""
        with self._sign_lock:
            if self._url is None:
                self._url = self._sign()
                self._signed_at = time.monotonic()
            return self._url

    def discard_link(self) -> bool:
        """Discard the link; whether it was old enough to have expired."""
        self._url = None
        return time.monotonic() - self._signed_at >= _LINK_IS_NEW_SECONDS

    def accept_version(self, response: RangeResponse) -> None:
        """Set the version from the first response; raise unless later ones have the same.

        The readers call it one at a time. Raises ChangedError, BackendError, IntegrityError.
        """
        total = response.version.total if response.has_length else self.expected
        if total is None and self.version is not None and response.ranged:
            total = self.version.total  # `Content-Range: bytes 5-9/*`
        version = Version(response.version.etag, total)
        if self.resumable:
            if version != self.version:
                raise response.error_page(self._name) or ChangedError(
                    "The file in the bucket has changed"
                )
            return
        if self._is_suspect(response) and (page := response.error_page(self._name)) is not None:
            raise page
        if total is None and not response.has_certain_end:
            raise BackendError(
                "The storage does not say how long the file is",
                remedy="a proxy may have removed the length; try without it",
            )
        if total is not None:
            self.check_size(total)
        self.part.restart()
        self.part.check_space(total or 0)
        self.version = version
        self.pieces = Pieces(total)
        if response.range_ignored:
            self.scaling.refuse()

    def _is_suspect(self, response: RangeResponse) -> bool:
        """Whether it may be a page: by its type, or by a size that differs from the manifest's."""
        if self.expected is None or not response.has_length:
            return response.is_html
        return response.version.total != self.expected

    @property
    def _name(self) -> str:
        return self.part.path.name.removesuffix(".part")

    def check_size(self, total: int) -> None:
        """Raises IntegrityError if it is not the manifest's size."""
        if self.expected is not None and total != self.expected:
            raise IntegrityError(
                "The stored file has another size than its manifest says",
                details=f"{total} bytes, the manifest says {self.expected}",
            )

    def check_length(self, length: int) -> None:
        """Raises IntegrityError if the file can't have that many bytes."""
        most = MOST_BYTES if self.expected is None else self.expected
        if length > most:
            raise IntegrityError(
                "The storage sends more bytes than the file has"
                if self.expected is not None
                else "The storage sends more bytes than the bucket takes",
                details=f"more than {formats.count(most)}",
            )

    def restart(self, *, changed: bool = False) -> None:
        """Discard everything that was fetched."""
        self._changed = self._changed or changed
        self.part.restart()
        self.version, self.pieces = None, Pieces(None)
