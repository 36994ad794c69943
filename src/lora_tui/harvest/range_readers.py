"""Reads one large file over several connections at once, where its source takes ranges.

It starts with the connection that has the first answer. While the bucket takes bytes faster than
they come, and they do not come as fast as one connection of the machine itself could bring them,
one more is opened. Every answer must be the requested part of the same version: same size, same
strong ETag. A connection that fails leaves its part to the others, and no further one is opened:
the host may limit them.

Each thread places bytes at their offset; the calling thread admits them in order (spool.py).
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from lora_tui.errors import BackendError, ExpiredLinkError
from lora_tui.harvest.failures import (
    RefusedResultError,
    SourceGoneError,
    SourceUnreachableError,
)
from lora_tui.harvest.source_connection import Answer, SourceConnection, changed_error
from lora_tui.harvest.spool import Spool
from lora_tui.transfers.pieces import Piece, Pieces

LEAST_BYTES: Final = 32 << 20
"""A file with fewer missing bytes is read over one connection."""
_MOST: Final = 6
"""Connections of one file."""
_FURTHER: Final = threading.BoundedSemaphore(12)
"""Further connections of all files of this process; each has a buffer."""
SMALLEST_PART: Final = 2 << 20
_LARGEST_PART: Final = 16 << 20
_PARTS_TO_GO: Final = 3
"""Parts of each connection that should be left, so that all end at about the same time."""
_FAST: Final = 400e6
"""Bytes a second that leave nothing to gain."""
LISTEN_SECONDS: Final = 0.1
"""How long the rate is measured before one more connection is opened."""
_FULL: Final = 64 << 20
"""Bytes that wait for the bucket; while there are more, one connection is enough."""
WAIT_SECONDS: Final = 0.2
_BUFFER: Final = 1 << 20

_LEFT_TO_OTHERS: Final = (SourceUnreachableError, ExpiredLinkError, SourceGoneError, BackendError)
"""Errors of one connection. Some hosts answer 403 or 404 to too many."""


@dataclass(eq=False)
class _Reader:
    """One thread with one connection."""

    connection: SourceConnection
    is_first: bool
    thread: threading.Thread | None = None


class RangeReaders:
    """The connections that read the gaps of one version of a file."""

    def __init__(
        self, url: str, etag: str, pieces: Pieces, spool: Spool, *, allow_private: bool
    ) -> None:
        self._url = url
        self._etag = etag
        self._pieces = pieces
        self._spool = spool
        self._allow_private = allow_private
        self.are_refused = False
        """Whether the host sends the whole file where a part was requested."""
        self._changed = threading.Condition()
        self._halted = False
        self._readers: list[_Reader] = []
        """Those that have not ended."""
        self._waiting = 0
        """Readers that wait for the bucket."""
        self._no_more = False
        self._error: BaseException | None = None
        self._since: tuple[float, int] | None = None
        """Since when, and from how many bytes on, the rate is measured."""

    def run(self, connection: SourceConnection, answer: Answer) -> None:
        """Read all gaps; `answer` begins with the first. It ends when all bytes are admitted.

        Raises the error of the last connection, IntegrityError where another version is sent,
        DiskError, DamagedFileError, SpoolClosedError.
        """
        self._start(_Reader(connection, is_first=True), answer)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_news, WAIT_SECONDS)
                    ended = not self._readers
                    fatal = self._halted
                self._spool.require_open()
                self._spool.admit(self._pieces.frontier)
                if self._pieces.complete and self._spool.length == self._pieces.total:
                    return
                if fatal or ended:
                    raise self._error or SourceUnreachableError(
                        "The connection to the worker's storage broke off"
                    )
                self._add_if_worthwhile()
        finally:
            self._stop()

    def _has_news(self) -> bool:
        return (
            self._pieces.frontier > self._spool.length
            or self._pieces.complete
            or self._halted
            or not self._readers
        )

    def _start(self, reader: _Reader, answer: Answer | None = None) -> None:
        reader.thread = threading.Thread(
            target=self._main, args=(reader, answer), name="fetch range", daemon=True
        )
        with self._changed:
            self._readers.append(reader)
        reader.thread.start()

    def _stop(self) -> None:
        with self._changed:
            self._halted = True
            readers = list(self._readers)
            self._changed.notify_all()
        for reader in readers:
            reader.connection.abort()
        for reader in readers:
            if reader.thread is not None:
                reader.thread.join()

    def _add_if_worthwhile(self) -> None:
        """Open one more connection where the bucket waits for bytes."""
        now, done, count = time.monotonic(), self._pieces.done, len(self._readers)
        if self._since is None:
            self._since = (now, done)
        elapsed, arrived = now - self._since[0], done - self._since[1]
        if self._no_more or count >= _MOST or elapsed < LISTEN_SECONDS:
            return
        self._since = (now, done)
        is_needed = self._spool.lead < _FULL // 4 and arrived < _FAST * elapsed
        is_enough_left = self._pieces.missing >= 2 * count * SMALLEST_PART
        if is_needed and is_enough_left and _FURTHER.acquire(blocking=False):
            self._start(
                _Reader(SourceConnection(allow_private=self._allow_private), is_first=False)
            )

    def _main(self, reader: _Reader, answer: Answer | None) -> None:
        """Main function of a reader: fills gaps until there is none, or its connection fails."""
        error: BaseException | None = None
        piece: Piece | None = None
        try:
            with closing(reader.connection):
                buffer = memoryview(bytearray(_BUFFER))
                piece = self._pieces.take(None if reader.is_first else self._part_size())
                while piece is not None and not self._halted:
                    if answer is None:
                        answer = self._requested(reader, piece)
                    if answer is None:
                        break
                    self._fill(answer, piece, buffer)
                    self._pieces.release(piece)
                    answer = None
                    self._wait_for_bucket()
                    piece = self._pieces.take(self._part_size())
        except BaseException as caught:
            error = caught
        finally:
            if piece is not None:
                self._pieces.release(piece)
            if not reader.is_first:
                _FURTHER.release()
            with self._changed:
                self._readers.remove(reader)
                if error is not None and not self._halted:
                    self._no_more = True
                    self._error = error
                    self._halted = not _is_left_to_others(error)
                self._changed.notify_all()

    def _requested(self, reader: _Reader, piece: Piece) -> Answer | None:
        """The answer with this part; None where the host takes no ranges."""
        answer = reader.connection.open(self._url, piece.at, self._etag, piece.end)
        if (answer.etag, answer.total) != (self._etag, self._pieces.total):
            raise changed_error()
        if not answer.is_part:
            self.are_refused = self._no_more = True
            return None
        return answer

    def _fill(self, answer: Answer, piece: Piece, buffer: memoryview) -> None:
        at = piece.at
        """Where the answer is; the end of the piece may come nearer while bytes are awaited."""
        while not self._halted:
            if not piece.missing and not (at == piece.at and self._goes_on(answer, piece)):
                return
            read = answer.read(buffer[: piece.missing])
            if not read:
                if answer.is_part:
                    return  # a host may send less than was requested; the rest is free again
                raise SourceUnreachableError("The connection to the worker's storage broke off")
            self._spool.place(read, at)
            at += len(read)
            with self._changed:
                self._pieces.advance(piece, len(read))
                self._changed.notify_all()

    def _goes_on(self, answer: Answer, piece: Piece) -> bool:
        """Whether the answer is used for the gap after this one: where no other reads it."""
        alone = len(self._readers) == 1 and not answer.is_part
        return alone and self._pieces.extend(piece, self._pieces.total or 0)

    def _part_size(self) -> int:
        share = self._pieces.missing // (_PARTS_TO_GO * max(1, len(self._readers)))
        return max(SMALLEST_PART, min(_LARGEST_PART, share))

    def _wait_for_bucket(self) -> None:
        """Wait while enough bytes lie in the spool and another connection reads."""
        with self._changed:
            while (
                self._spool.lead >= _FULL
                and len(self._readers) - self._waiting > 1
                and not self._halted
            ):
                self._waiting += 1
                self._changed.wait(WAIT_SECONDS)
                self._waiting -= 1


def _is_left_to_others(error: BaseException) -> bool:
    return isinstance(error, _LEFT_TO_OTHERS) and not isinstance(error, RefusedResultError)
