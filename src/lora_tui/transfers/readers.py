"""The threads that read one file in parallel, each over its own connection.

A reader takes one gap after another (pieces.py), writes the bytes at their offset, and ends when
nothing is missing, when it is dismissed, or with the error of its connection.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lora_tui.errors import UnreachableError
from lora_tui.transfers.connection import ChangedError, RangeConnection, RangeResponse
from lora_tui.transfers.kept_connections import KeptConnections
from lora_tui.transfers.pieces import UNKNOWN_END, Piece, Pieces
from lora_tui.transfers.rate import RateLimit
from lora_tui.transfers.remote_file import RemoteFile

_BUFFER: Final = 1 << 20
_SMALLEST_READ: Final = 4 << 10
_FIRST_READ: Final = 64 << 10
_LIVELY_SECONDS: Final = 0.05
_SLOW_SECONDS: Final = 0.2


@dataclass(eq=False)
class _Reader:
    """One thread with one connection."""

    piece: Piece
    connection: RangeConnection
    thread: threading.Thread | None = None
    response: RangeResponse | None = None
    """The thread writes to the file only while this is set."""
    leave: bool = False
    ended: bool = False
    """Whether the connection is not this reader's any more."""


class Readers:
    """The running readers, all of one version of the object. Controlled by one thread."""

    def __init__(
        self,
        source: RemoteFile,
        *,
        connections: KeptConnections,
        host: str,
        limit: RateLimit | None,
    ) -> None:
        """`host`: the URL of the host of the links, where it is known before they are made."""
        self._source = source
        self._connections = connections
        self._host = host
        self._limit = limit
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._halt = threading.Event()
        self._readers: list[_Reader] = []
        self._ended: list[tuple[_Reader, BaseException | None]] = []

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def receiving(self) -> int:
        """How many are reading a response."""
        return sum(reader.response is not None for reader in self._readers)

    def start(self) -> bool:
        """Start one more reader; False if there is no gap for it."""
        scaling, pieces = self._source.scaling, self._source.pieces
        piece = pieces.take(scaling.chunk(pieces.missing) if self._readers else None)
        if piece is None:
            return False
        reader = _Reader(piece, self._connections.take())
        reader.thread = threading.Thread(
            target=self._read, args=(reader,), name="download", daemon=True
        )
        self._readers.append(reader)
        reader.thread.start()
        return True

    def open_ahead(self, count: int) -> None:
        """Have connections made for more readers, which may be started soon."""
        if self._host:
            self._connections.open_ahead(self._host, count)

    def limit_to(self, count: int) -> None:
        """Dismiss all but `count`; first those that wait for their first byte."""
        ranked = sorted(self._readers, key=lambda reader: (reader.leave, reader.response is None))
        with self._lock:
            for reader in ranked[count:]:
                if not reader.leave and not reader.ended:
                    reader.leave = True
                    # it could wait long, and load the server
                    (reader.response or reader.connection).abort()

    def wait(self, seconds: float) -> list[tuple[BaseException, int]]:
        """Wait until a reader ends: the errors of ended readers, each with the number left."""
        with self._wake:
            self._wake.wait_for(lambda: self._ended, seconds)
            ended, self._ended = self._ended, []
        errors = []
        for reader, error in ended:
            self._readers.remove(reader)
            if error is not None:
                errors.append((error, len(self._readers)))
        return errors

    def stop(self) -> None:
        """Stop all readers; none writes after the return."""
        with self._lock:
            self._halt.set()
            writing = [reader for reader in self._readers if reader.response is not None]
            for reader in writing:
                if reader.response is not None:
                    reader.response.abort()
        for reader in writing:
            if reader.thread is not None:
                reader.thread.join()

    def _read(self, reader: _Reader) -> None:
        """Main function of a reader: reads gaps until there is none, or the connection fails."""
        scaling, pieces = self._source.scaling, self._source.pieces
        connection = reader.connection
        error: BaseException | None = None
        try:
            piece: Piece | None = reader.piece
            size = min(_BUFFER, max(_FIRST_READ, self._source.expected or _BUFFER))
            buffer = memoryview(bytearray(size))
            if self._host:
                with suppress(UnreachableError):  # the requests that follow tell why
                    connection.open(self._host)  # while the link is made
            while piece is not None:
                pieces = self._read_piece(reader, piece, connection, buffer)
                pieces.release(reader.piece)
                if reader.leave or self._halt.is_set():
                    break
                piece = pieces.take(scaling.chunk(pieces.missing))
                if piece is not None:
                    reader.piece = piece
        except BaseException as caught:
            dismissed = reader.leave and isinstance(caught, UnreachableError)
            error = None if dismissed else caught
        finally:
            pieces.release(reader.piece)
            with self._lock:
                reader.response, reader.ended = None, True
            self._connections.give_back(connection)
            with self._wake:
                self._ended.append((reader, error))
                self._wake.notify_all()

    def _read_piece(
        self, reader: _Reader, piece: Piece, connection: RangeConnection, buffer: memoryview
    ) -> Pieces:
        """Fill one gap. Returns the gaps of the file, which the first response may replace."""
        source = self._source
        version, pieces = source.version, source.pieces
        etag = version.etag if version is not None else None
        known = version is not None and version.resumable
        if piece.at and not known:
            raise ChangedError(
                "The server does not let a download continue in the middle of a file"
            )
        end = piece.end if known else None
        probe = source.is_unknown  # an empty file has no ranges
        with connection.request(source.link(), piece.at, end, etag, probe=probe) as response:
            try:
                with self._lock:
                    if self._halt.is_set():
                        return pieces
                    source.accept_version(response)
                    reader.response = response
                if source.pieces is not pieces:  # the first response told the length of the file
                    pieces = source.pieces
                    first = pieces.take()
                    if first is None:
                        return pieces
                    reader.piece = piece = first
                if not response.ranged and piece.at and len(self._readers) > 1:
                    source.scaling.refuse()
                    reader.leave = True
                    return pieces
                self._skip(response, piece.at - response.start, buffer)
                self._copy(reader, response, pieces, piece, buffer)
                return pieces
            finally:
                with self._lock:
                    reader.response = None

    def _skip(self, response: RangeResponse, count: int, buffer: memoryview) -> None:
        """Skip bytes that are on the disk, when the server sends the whole file."""
        while count > 0 and not self._halt.is_set():
            passed = response.read_into(buffer[: self._wait_for_rate(min(len(buffer), count))])
            if not passed:
                raise UnreachableError("The connection ended in the middle of a file")
            count -= passed

    def _copy(
        self,
        reader: _Reader,
        response: RangeResponse,
        pieces: Pieces,
        piece: Piece,
        buffer: memoryview,
    ) -> None:
        size = _FIRST_READ
        position = piece.at
        while not self._halt.is_set() and not reader.leave:
            wanted = min(size, piece.end - piece.at)
            if wanted <= 0:
                # if another reader took the end of the piece during a read, that read went further
                usable = self._source.scaling.allowed == 1 and position == piece.at
                if usable and pieces.extend(piece, response.end or piece.end):
                    continue
                self._read_end(response, pieces, piece, buffer)
                return
            wanted = self._wait_for_rate(wanted)
            began = time.monotonic()
            count = response.read_into(buffer[:wanted])
            if not count:
                if piece.end == UNKNOWN_END and response.has_certain_end:
                    pieces.set_end(piece)
                    return
                raise UnreachableError("The connection ended in the middle of a file")
            if piece.end == UNKNOWN_END:
                self._source.check_length(piece.at + count)
            self._source.part.write(buffer[:count], piece.at)
            pieces.advance(piece, count)
            position += count
            took = time.monotonic() - began
            # large reads are cheaper, small ones keep a slow connection responsive
            if took < _LIVELY_SECONDS:
                size = min(len(buffer), 2 * size)
            elif took > _SLOW_SECONDS:
                size = max(_SMALLEST_READ, size // 2)

    def _read_end(
        self, response: RangeResponse, pieces: Pieces, piece: Piece, buffer: memoryview
    ) -> None:
        """Check that a response without a length ends where the manifest says."""
        if not response.has_length and piece.end == pieces.total and response.read_into(buffer[:1]):
            self._source.check_length(piece.end + 1)

    def _wait_for_rate(self, wanted: int) -> int:
        if self._limit is None:
            return wanted
        count, seconds = self._limit.take(wanted)
        if seconds:
            self._halt.wait(seconds)
        return count
