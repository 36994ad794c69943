"""A file on its way: a temporary file that is written while it is read.

It has no name, so a killed process leaves nothing behind; memory holds one piece at a time. Bytes
may arrive out of order: they are placed, and admitted in order, when checksum and structure are
computed. Readers see what is admitted. A reader can start again at any offset: a repeated upload
needs no second download.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from lora_tui.errors import IntegrityError, not_enough_space
from lora_tui.files import free_bytes, make_private_directory, translate_disk_errors
from lora_tui.harvest.structure import Inspector

CHECK_SECONDS: Final = 1.0
"""How often a reader that waits for bytes asks whether it should stop."""
_PIECE: Final = 1 << 20
"""Bytes that are read at once."""
_MARGIN: Final = 64 << 20
"""Bytes that stay free on the disk."""
_WHAT: Final = "A file being transferred can't be stored"
_INSTEAD: Final = "move the cache directory with LORA_TUI_HOME"


@dataclass(frozen=True)
class Contents:
    """What a finished spool holds."""

    size: int
    """Bytes."""
    sha256: str


class SpoolClosedError(Exception):
    """The reader has ended; the writer should end too."""


class Spool:
    """One file between its source and the bucket; a context manager."""

    def __init__(
        self,
        directory: Path,
        *,
        on_growth: Callable[[int, int | None], None] | None = None,
        inspector: Inspector | None = None,
        check_stop: Callable[[], None] | None = None,
        reserve: Callable[[int | None, Callable[[], None]], None] | None = None,
    ) -> None:
        """`on_growth` gets the bytes so far and in all, in the writer's thread.

        `check_stop` is called before each piece, and while the reader waits for bytes; its error is
        raised there.
        `reserve` gets the size of the file when it is announced, and what to call while it waits.
        The last byte can be read only after `inspector` has checked the whole file.
        """
        self._directory = directory
        self._inspector = inspector
        self._on_growth = on_growth or (lambda _done, _total: None)
        self._check_stop = check_stop or (lambda: None)
        self._reserve = reserve or (lambda _total, _check: None)
        self._version: str | None = None
        with translate_disk_errors(_WHAT, directory, instead=_INSTEAD):
            make_private_directory(directory)  # it may have been removed meanwhile
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._changed = threading.Condition()
        self._digest = hashlib.sha256()
        self._length = 0
        self._total: int | None = None
        self._announced = self._finished = self._closed = False
        self._error: BaseException | None = None
        self._read_to = 0
        """The end of what readers have read."""
        self._starved = 0
        """Readers that wait for bytes."""
        self._at_close: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
        self._file.close()

    # The writer's side

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self._length

    @property
    def total(self) -> int | None:
        """Bytes in all, where the source has announced them."""
        return self._total

    @property
    def version(self) -> str | None:
        """The strong ETag of the source; None where it has none."""
        return self._version

    def announce(self, total: int | None, version: str | None = None) -> None:
        """Set the size of the file, if it is known. Raises DiskError where it does not fit."""
        self._reserve(total, self.require_open)
        if total is not None:
            self._require_room(total)
        with self._changed:
            self._announced, self._total, self._version = True, total, version
            self._changed.notify_all()

    def append(self, data: memoryview) -> None:
        """Add bytes. Raises SpoolClosedError, DiskError, DamagedFileError."""
        at = self._length
        self.place(data, at)
        self._digest.update(data)
        self._admitted(at + len(data))

    def place(self, data: memoryview, at: int) -> None:
        """Write bytes at an offset; `admit` makes them readable. May be called by several threads.

        Raises SpoolClosedError, DiskError.
        """
        self.require_open()
        self._require_room(len(data))  # the size is not always announced
        with translate_disk_errors(_WHAT, self._directory, instead=_INSTEAD):
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written

    def admit(self, end: int) -> None:
        """Check what was placed up to `end`, and give it to the readers.

        Raises SpoolClosedError, DiskError, DamagedFileError.
        """
        while (at := self._length) < end:
            with translate_disk_errors(_WHAT, self._directory, instead=_INSTEAD):
                piece = os.pread(self._file.fileno(), min(_PIECE, end - at), at)
            self._digest.update(piece)
            self._admitted(at + len(piece))

    def _admitted(self, end: int) -> None:
        if self._inspector is not None:
            self._inspector.check_received(self._file.fileno(), end, self._total)
        with self._changed:
            self.require_open()
            self._length = end
            self._changed.notify_all()
        self._on_growth(end, self._total)

    def sha256(self) -> str:
        """Of the bytes so far."""
        return self._digest.hexdigest()

    def finish(self) -> None:
        """No more bytes follow. Raises DamagedFileError where they are not what they should be."""
        if self._inspector is not None:
            self._inspector.check(self._file.fileno(), self._length)
        with self._changed:
            self._announced = self._finished = True
            self._changed.notify_all()

    def require_open(self) -> None:
        """Raises SpoolClosedError where the reader has ended."""
        if self._closed:
            raise SpoolClosedError

    @property
    def lead(self) -> int:
        """Bytes that no reader has read; 0 where one waits for more."""
        return 0 if self._starved else self._length - self._read_to

    def call_at_close(self, call: Callable[[], None]) -> None:
        """Call this when the readers have ended; at once where they have."""
        with self._changed:
            if not self._closed:
                self._at_close.append(call)
                return
        call()

    def fail(self, error: BaseException) -> None:
        """Writing failed; the reader gets the error."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    # The reader's side

    def close(self) -> None:
        """End reading; the writer's next call raises SpoolClosedError."""
        with self._changed:
            self._closed = True
            calls, self._at_close = self._at_close, []
            self._changed.notify_all()
        for call in calls:
            call()

    def wait_for_total(self) -> int | None:
        """How long the file will be; None where its source does not say. Raises what failed."""
        with self._changed:
            self._wait(lambda: self._announced)
            return self._length if self._finished else self._total

    def wait_for_end(self) -> Contents:
        """Size and checksum, once all of it has arrived. Raises what failed."""
        with self._changed:
            self._wait(lambda: self._finished)
            return Contents(self._length, self._digest.hexdigest())

    def read_from(self, offset: int) -> Iterator[bytes]:
        """The bytes from there to the end, a piece as soon as it is whole. Raises what failed."""
        while True:
            self.check_stop()
            available = self._wait_for(offset + _PIECE) - offset
            if available <= 0:
                return
            with translate_disk_errors(_WHAT, self._directory, instead=_INSTEAD):
                piece = os.pread(self._file.fileno(), min(available, _PIECE), offset)
            offset += len(piece)
            self._read_to = max(self._read_to, offset)
            yield piece

    def read_range(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes of this range, each piece as soon as it has arrived. Raises what failed.

        Raises IntegrityError where the file ends before `end`. May be called from several threads.
        """
        while start < end:
            self.check_stop()
            wanted = min(start + _PIECE, end)
            available = min(self._wait_for(wanted), wanted) - start
            if available <= 0:
                raise IntegrityError("The file ended early", details=f"at byte {start:,}")
            with translate_disk_errors(_WHAT, self._directory, instead=_INSTEAD):
                piece = os.pread(self._file.fileno(), available, start)
            start += len(piece)
            self._read_to = max(self._read_to, start)
            yield piece

    def check_stop(self) -> None:
        """Raises what the reader's `check_stop` raises."""
        self._check_stop()

    def check_source(self) -> None:
        """Raises what failed at the source or on the disk, if anything did."""
        if self._error is not None:
            raise self._error

    def whole_file(self) -> int | None:
        """The descriptor of the file, once all of it has arrived; its position is not used."""
        with self._changed:
            return self._file.fileno() if self._finished else None

    def md5(self) -> str:
        """The MD5, which a bucket uses as the ETag of bytes that were sent in one request."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.read_from(0):
            digest.update(piece)
        return digest.hexdigest()

    def _require_room(self, size: int) -> None:
        with translate_disk_errors(_WHAT, self._directory, instead=_INSTEAD):
            free = free_bytes(self._file.fileno())
        if size + _MARGIN > free:
            raise not_enough_space(size, free, self._directory, margin=_MARGIN, instead=_INSTEAD)

    def _wait_for(self, length: int) -> int:
        """The length, once it is at least that or final."""
        with self._changed:
            self._wait(
                lambda: (self._length >= length and self._length != self._total) or self._finished
            )
            return self._length

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition. Raises what failed, and what `check_stop` raises."""
        self._starved += 1
        try:
            while not self._changed.wait_for(
                lambda: self._error is not None or condition(), CHECK_SECONDS
            ):
                self._check_stop()
        finally:
            self._starved -= 1
        if self._error is not None:
            raise self._error
