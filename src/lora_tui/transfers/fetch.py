"""Brings all bytes of one file into its `.part`, over one connection or several.

The thread that calls `fetch` conducts: it starts readers, tells progress and decides on retries.
Each reader is a thread with one connection that fills gaps (pieces.py). Nothing of two versions
of an object is ever mixed: an answer of another version ends all readers, and begins anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from lora_tui.errors import (
    BackendError,
    ExpiredLinkError,
    IntegrityError,
    LoraTuiError,
    UnreachableError,
)
from lora_tui.gateway.route import ProxyRefusedError
from lora_tui.transfers.connection import (
    Answer,
    BusyError,
    ChangedError,
    Line,
    UntrustedError,
)
from lora_tui.transfers.digest import GrowingDigest
from lora_tui.transfers.growth import Growth
from lora_tui.transfers.limit import RateLimit
from lora_tui.transfers.part import Part, Version, explained_disk
from lora_tui.transfers.pieces import UNKNOWN_END, Piece, Pieces
from lora_tui.transfers.space import check_space

_BUFFER: Final = 1 << 20
_SMALLEST_READ: Final = 4 << 10
_TICK_SECONDS: Final = 0.05
_TELL_SECONDS: Final = 0.1
_NOTE_SECONDS: Final = 1.0
_SLOW_LIMIT: Final = 8 << 20
"""Bytes a second of a limit below which one connection is enough."""
_MOST_CHANGES: Final = 5
_LINK_IS_NEW_SECONDS: Final = 5.0
"""A link that is refused sooner is refused for another reason than its age."""


class CancelledError(LoraTuiError):
    """The user stopped the transfer; the `.part` file stays for a resume."""


@dataclass(frozen=True)
class Fetched:
    """A whole file in its `.part`, not yet verified or renamed."""

    size: int
    sha256: str


@dataclass(frozen=True)
class FetchOptions:
    """What a fetch needs besides the file itself."""

    sign: Callable[[], str] = field(repr=False)
    """Makes a signed URL: once at the start and again when one is refused. Kept in memory only."""
    progress: Callable[[int, int | None, int], None]
    """Told bytes done, bytes in all and retries so far, ten times a second; what it raises ends
    the fetch."""
    wait: Callable[[int, str | None], bool]
    """Called after the n-th failed attempt (from 1), with the server's Retry-After: sleeps, and
    says whether to try again."""
    stop: threading.Event
    connections: int = 8
    """The most at the same time."""
    limit: RateLimit | None = None
    stall_seconds: float = 20.0
    """A connection on which nothing comes for so long is given up."""


def fetch(part: Part, options: FetchOptions, *, expected_size: int | None = None) -> Fetched:
    """Fetch what `part` lacks, and compute its checksum meanwhile.

    Raises UnreachableError when the attempts are used up, NotFoundError where the object is gone,
    IntegrityError where the length is wrong, DiskError, CancelledError, what `sign` and `progress`
    raise.
    """
    with explained_disk(part.path):
        return _Fetch(part, options, expected_size).run()


@dataclass(eq=False)
class _Reader:
    """One thread with one connection."""

    piece: Piece
    thread: threading.Thread | None = None
    answer: Answer | None = None
    """While there is one, the thread may write; otherwise it touches nothing."""
    leave: bool = False


class _Round:
    """The readers that work at the same time, on one version."""

    def __init__(self) -> None:
        self.halt = threading.Event()
        self.readers: list[_Reader] = []
        self.ended: list[tuple[_Reader, BaseException | None]] = []


class _Fetch:
    def __init__(self, part: Part, options: FetchOptions, expected_size: int | None) -> None:
        self._part = part
        self._options = options
        self._expected = expected_size
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._sign_lock = threading.Lock()
        self._url: str | None = None
        self._signed_at = 0.0
        self._retries = 0
        self._changes = 0
        self._version: Version | None = None
        self._pieces = Pieces(None)
        resumed = part.resume()
        if resumed is not None and expected_size in (None, resumed[0].total):
            self._version, self._pieces = resumed
        self._digest = GrowingDigest(part.descriptor)
        self._growth = Growth(options.connections)
        self._told_at = 0.0
        self._noted_at = time.monotonic()
        self._noting: threading.Thread | None = None

    def run(self) -> Fetched:
        try:
            self._until_complete()
            total = self._pieces.total or 0
            if self._expected is not None and total != self._expected:
                raise IntegrityError(
                    "The stored file has another size than its manifest says",
                    details=f"{total} bytes, the manifest says {self._expected}",
                )
            sha256 = self._digest.result(total)
            self._join_noting()
            self._part.finish(total)
            return Fetched(total, sha256)
        finally:
            self._digest.close()
            self._join_noting()
            self._note()

    def _until_complete(self) -> None:
        attempt = 0
        while not self._pieces.complete:
            if self._version is not None and not self._version.resumable:
                self._begin_anew()  # nothing would tell whether the rest is of the same object
            before = self._pieces.done
            try:
                self._round()
                continue
            except ChangedError as error:
                self._changes += 1
                if self._changes > _MOST_CHANGES:
                    raise UnreachableError("The file in the bucket keeps changing") from error
                self._begin_anew()
                failure: LoraTuiError = error
            except (ExpiredLinkError, BusyError) as error:
                self._url = None  # some stacks answer 500 to a link that has expired
                failure = error
            except (UntrustedError, ProxyRefusedError):
                raise
            except UnreachableError as error:
                failure = error
            resumable = self._version is not None and self._version.resumable
            if resumable and self._pieces.done > before:
                attempt = 0  # it moved: a slow and broken line is still a line
            attempt += 1
            self._retries += 1
            self._tell()
            if not self._options.wait(attempt, getattr(failure, "retry_after", None)):
                self._check_stop()
                if isinstance(failure, ExpiredLinkError):
                    raise UnreachableError(str(failure), details=failure.details) from failure
                raise failure
            self._check_stop()

    def _round(self) -> None:
        """Read until nothing is missing. Raises what ended the last reader."""
        current = _Round()
        try:
            self._start_reader(current)
            while current.readers:
                with self._wake:
                    self._wake.wait_for(lambda: current.ended, _TICK_SECONDS)
                    ended, current.ended = current.ended, []
                for reader, error in ended:
                    current.readers.remove(reader)
                    if error is not None:
                        self._bear(error, others=len(current.readers))
                self._check_stop()
                self._tell_now_and_then()
                self._digest.follow(self._pieces.frontier)
                self._note_now_and_then()
                self._adjust(current)
        finally:
            self._stop_readers(current)

    def _bear(self, error: BaseException, *, others: int) -> None:
        """Go on with the other connections where that makes sense; else raise."""
        if isinstance(error, ChangedError) or not others:
            raise error
        if not isinstance(error, (UnreachableError, ExpiredLinkError)):
            raise error
        self._retries += 1
        if isinstance(error, (ExpiredLinkError, BusyError)):
            aged = time.monotonic() - self._signed_at >= _LINK_IS_NEW_SECONDS
            self._url = None
            if aged:
                return  # it has expired: the next reader has a new one
        self._growth.lost_one(others)

    def _adjust(self, current: _Round) -> None:
        """Start and dismiss readers."""
        version = self._version
        if version is None or not version.resumable or not current.readers:
            return
        missing = (version.total or 0) - self._pieces.done
        running = sum(reader.answer is not None for reader in current.readers)
        allowed = self._growth.observe(time.monotonic(), self._pieces.done, missing, running)
        limit = self._options.limit
        if limit is not None and limit.bytes_a_second < _SLOW_LIMIT:
            allowed = 1
        while len(current.readers) < allowed and self._start_reader(current):
            pass
        for reader in current.readers[allowed:]:
            reader.leave = True

    def _start_reader(self, current: _Round) -> bool:
        piece = self._pieces.take(self._growth.chunk if current.readers else None)
        if piece is None:
            return False
        reader = _Reader(piece)
        reader.thread = threading.Thread(
            target=self._read, args=(current, reader), name="download", daemon=True
        )
        current.readers.append(reader)
        reader.thread.start()
        return True

    def _stop_readers(self, current: _Round) -> None:
        """When this returns, no reader writes any more."""
        with self._lock:
            current.halt.set()
            writing = [reader for reader in current.readers if reader.answer is not None]
            for reader in writing:
                if reader.answer is not None:
                    reader.answer.abort()
        for reader in writing:
            if reader.thread is not None:
                reader.thread.join()

    def _read(self, current: _Round, reader: _Reader) -> None:
        """The life of a reader: gap after gap, until there is none or the line breaks."""
        pieces = self._pieces
        line = Line(stall_seconds=self._options.stall_seconds)
        error: BaseException | None = None
        try:
            buffer = memoryview(bytearray(_BUFFER))
            piece: Piece | None = reader.piece
            while piece is not None:
                pieces = self._read_piece(current, reader, piece, line, buffer)
                pieces.release(reader.piece)
                if reader.leave or current.halt.is_set():
                    break
                piece = pieces.take(self._growth.chunk)
                if piece is not None:
                    reader.piece = piece
        except BaseException as caught:
            error = caught
        finally:
            pieces.release(reader.piece)
            line.close()
            with self._wake:
                reader.answer = None
                current.ended.append((reader, error))
                self._wake.notify_all()

    def _read_piece(
        self, current: _Round, reader: _Reader, piece: Piece, line: Line, buffer: memoryview
    ) -> Pieces:
        """Fill one gap; the gaps that it belongs to."""
        version, pieces = self._version, self._pieces
        etag = version.etag if version is not None else None
        known = version is not None and version.resumable
        if piece.at and not known:
            raise ChangedError("The server gives no way to go on in the middle of a file")
        end = piece.end if known else None
        probe = version is None and self._changes == 0  # an empty file has no part
        with line.ask(self._signed(), piece.at, end, etag, probe=probe) as answer:
            try:
                with self._lock:
                    if current.halt.is_set():
                        return pieces
                    self._agree(answer)
                    reader.answer = answer
                if self._pieces is not pieces:  # the first answer told how long the file is
                    pieces = self._pieces
                    first = pieces.take()
                    if first is None:
                        return pieces
                    reader.piece = piece = first
                if not answer.ranged and piece.at and len(current.readers) > 1:
                    self._growth.refuse()
                    reader.leave = True
                    return pieces
                self._skip(current, answer, piece.at - answer.start, buffer)
                self._copy(current, reader, answer, pieces, piece, buffer)
                return pieces
            finally:
                with self._lock:
                    reader.answer = None

    def _agree(self, answer: Answer) -> None:
        """The first answer says which version it is to be; every other must be of the same."""
        if self._version is not None and self._version.resumable:
            if answer.version != self._version:
                raise ChangedError("The file in the bucket has changed")
            return
        total = answer.version.total
        if not answer.certain_end:
            if self._expected is None:
                raise BackendError("The storage does not say how long the file is")
            total = self._expected
        if self._expected is not None and total is not None and total != self._expected:
            raise IntegrityError(
                "The stored file has another size than its manifest says",
                details=f"{total} bytes, the manifest says {self._expected}",
            )
        self._part.begin_anew()
        check_space(self._part, total or self._expected or 0)
        self._version = Version(answer.version.etag, total)
        self._pieces = Pieces(total)
        if not answer.ranged:
            self._growth.refuse()

    def _skip(self, current: _Round, answer: Answer, count: int, buffer: memoryview) -> None:
        """Pass over what is there already, where the server sends the whole file regardless."""
        while count > 0 and not current.halt.is_set():
            passed = answer.read_into(buffer[: self._permitted(current, min(len(buffer), count))])
            if not passed:
                raise UnreachableError("The connection ended in the middle of a file")
            count -= passed

    def _copy(
        self,
        current: _Round,
        reader: _Reader,
        answer: Answer,
        pieces: Pieces,
        piece: Piece,
        buffer: memoryview,
    ) -> None:
        size = 16 * _SMALLEST_READ
        while not current.halt.is_set() and not reader.leave:
            wanted = min(size, piece.end - piece.at)
            if wanted <= 0:
                return
            wanted = self._permitted(current, wanted)
            began = time.monotonic()
            count = answer.read_into(buffer[:wanted])
            if not count:
                if piece.end == UNKNOWN_END and answer.certain_end:
                    pieces.end_here(piece)
                    return
                raise UnreachableError("The connection ended in the middle of a file")
            self._part.write(buffer[:count], piece.at)
            pieces.advance(piece, count)
            took = time.monotonic() - began
            # large reads cost the least, small ones keep a slow line responsive
            if took < _TELL_SECONDS / 2:
                size = min(len(buffer), 2 * size)
            elif took > 2 * _TELL_SECONDS:
                size = max(_SMALLEST_READ, size // 2)

    def _permitted(self, current: _Round, wanted: int) -> int:
        limit = self._options.limit
        if limit is None:
            return wanted
        count, seconds = limit.take(wanted)
        if seconds:
            current.halt.wait(seconds)
        return count

    def _signed(self) -> str:
        with self._sign_lock:
            if self._url is None:
                self._url = self._options.sign()
                self._signed_at = time.monotonic()
            return self._url

    def _begin_anew(self) -> None:
        self._join_noting()
        self._digest.close()
        self._digest = GrowingDigest(self._part.descriptor)
        self._part.begin_anew()
        self._version, self._pieces = None, Pieces(None)

    def _check_stop(self) -> None:
        if self._options.stop.is_set():
            raise CancelledError("The download was stopped")

    def _tell_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        self._options.progress(self._pieces.done, self._pieces.total, self._retries)

    def _note_now_and_then(self) -> None:
        """In a thread: bringing a second's bytes to the disk may take longer than a second."""
        now = time.monotonic()
        if now - self._noted_at < _NOTE_SECONDS:
            return
        if self._noting is None or not self._noting.is_alive():
            self._noted_at = now
            self._noting = threading.Thread(target=self._note, name="note", daemon=True)
            self._noting.start()

    def _join_noting(self) -> None:
        if self._noting is not None:
            self._noting.join()
            self._noting = None

    def _note(self) -> None:
        version = self._version
        if version is None or not self._part.exists:
            return
        gaps = self._pieces.gaps()
        with suppress(OSError):  # a full disk: the note before this one stays true
            self._part.note(version, gaps)
