"""Fetches all bytes of one file into its `.part`, over one connection or several, with a checksum.

The thread that calls `fetch_bytes` controls the rest: it starts readers (readers.py), reports
progress and decides on retries. Bytes of two versions of an object are never mixed: a response of
another version ends all readers, and the file is fetched again from its start.

The checksum is computed meanwhile in a thread of its own, from the file, so it is of the bytes on
the disk, not of those received. It follows the part without gaps from the start, so bytes may
arrive in any order. `hashlib` releases the GIL.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from lora_tui.errors import (
    CancelledError,
    DiskError,
    ExpiredLinkError,
    IntegrityError,
    LoraTuiError,
    UnreachableError,
)
from lora_tui.gateway.file_connection import ProxyRefusedError
from lora_tui.transfers.connection import (
    BusyError,
    ChangedError,
    InvalidResponseError,
    UntrustedError,
)
from lora_tui.transfers.kept_connections import KeptConnections
from lora_tui.transfers.part import Part, translate_write_errors
from lora_tui.transfers.rate import RateLimit
from lora_tui.transfers.readers import Readers
from lora_tui.transfers.remote_file import RemoteFile

_TICK_SECONDS: Final = 0.05
_TELL_SECONDS: Final = 0.1
NOTE_SECONDS: Final = 1.0
_SLOW_LIMIT: Final = 8 << 20
"""Bytes a second; with a lower rate limit one connection is enough."""
_MOST_CHANGES: Final = 5
_MOST_INVALID_ANSWERS: Final = 3
_MANY_RETRIES: Final = 50
_LEAST_BYTES_A_RETRY: Final = 1 << 10
"""Bytes that each further retry must have fetched, else the download is given up."""

_BLOCK: Final = 1 << 20
_WORTH_A_THREAD: Final = 4 << 20


@dataclass(frozen=True)
class FetchedBytes:
    """A whole file in its `.part`, not yet verified or renamed."""

    size: int
    sha256: str
    etag: str | None = None
    """The ETag of the responses, if it is a strong one."""


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch: links, callbacks and limits."""

    sign: Callable[[], str] = field(repr=False)
    """Makes a signed URL: at the start and when one is refused. Kept in memory only."""
    progress: Callable[[int, int | None, int], None]
    """Called with bytes done, total bytes and retries, ten times a second; what it raises ends the
    fetch."""
    wait: Callable[[int, str | None], bool]
    """Called after the n-th failed attempt (from 1), with the server's Retry-After: sleeps, and
    returns whether to try again."""
    stop: threading.Event
    kept: KeptConnections
    """Where connections are taken from, and given back to."""
    prepare: Callable[[], None] = lambda: None
    """Called first; has the link made meanwhile."""
    host: str = ""
    """The URL of the links' host, to connect while a link is made; empty if it is not known."""
    connections: int = 8
    """The maximum for the file."""
    limit: RateLimit | None = None


def fetch_bytes(
    part: Part, options: FetchOptions, *, expected_size: int | None = None
) -> FetchedBytes:
    """Fetch the missing bytes of `part`, and compute its checksum meanwhile.

    Raises UnreachableError when the attempts are used up, NotFoundError if the object is gone,
    IntegrityError if the length is wrong, DiskError, CancelledError, and what `sign` and `progress`
    raise.
    """
    with translate_write_errors(part.path):
        return _Fetch(part, options, expected_size).run()


class IncrementalDigest:
    """SHA-256 of one version of an open file that other threads write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._at = 0
        self._frontier = 0
        self._ended = False
        self._error: OSError | None = None
        self._moved = threading.Condition()
        self._thread: threading.Thread | None = None

    def follow(self, frontier: int) -> None:
        """Report that everything before `frontier` has been written."""
        with self._moved:
            self._frontier = max(self._frontier, frontier)
            self._moved.notify()
        if self._thread is None and frontier - self._at >= _WORTH_A_THREAD:
            self._thread = threading.Thread(target=self._run, name="checksum", daemon=True)
            self._thread.start()

    def result(self, total: int) -> str:
        """The checksum of all `total` bytes, in hexadecimal. Raises OSError, DiskError."""
        self.follow(total)
        self.close(drain=True)
        self._catch_up(total)
        if self._error is not None:
            raise self._error
        if self._at != total:
            raise DiskError("The partial file was changed by another program")
        return self._digest.hexdigest()

    def close(self, *, drain: bool = False) -> None:
        """End the thread, at once or (`drain`) after everything that was written."""
        with self._moved:
            self._ended = True
            if not drain:
                self._frontier = 0
            self._moved.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        buffer = memoryview(bytearray(_BLOCK))
        try:
            while True:
                with self._moved:
                    self._moved.wait_for(lambda: self._ended or self._frontier > self._at)
                    frontier = self._frontier
                if frontier <= self._at:
                    return
                if not self._add(frontier, buffer):
                    return
        except OSError as error:
            self._error = error

    def _catch_up(self, total: int) -> None:
        buffer = memoryview(bytearray(min(_BLOCK, max(1, total - self._at))))
        while self._at < total and self._error is None and self._add(total, buffer):
            pass

    def _add(self, frontier: int, buffer: memoryview) -> bool:
        """Add one block before `frontier`; False if the file ends too early."""
        room = buffer[: min(len(buffer), frontier - self._at)]
        count = os.preadv(self._descriptor, [room], self._at)
        self._digest.update(room[:count])
        self._at += count
        return count > 0


class _Fetch:
    def __init__(self, part: Part, options: FetchOptions, expected_size: int | None) -> None:
        self._part = part
        self._options = options
        self._source = RemoteFile(part, options.sign, expected_size, options.connections)
        self._digest = IncrementalDigest(part.descriptor)
        self._opened_ahead = False
        self._retries = 0
        self._changes = 0
        self._told_at = time.monotonic()
        self._noted_at = time.monotonic()
        self._noting: threading.Thread | None = None

    def run(self) -> FetchedBytes:
        try:
            self._options.prepare()
            self._until_complete()
            total = self._source.pieces.total or 0
            self._source.check_size(total)
            sha256 = self._digest.result(total)
            self._join_noting()
            self._part.finish(total)
            version = self._source.version
            return FetchedBytes(total, sha256, version.etag if version else None)
        except BaseException as error:
            if isinstance(error, IntegrityError) or not self._source.resumable:
                self._source.restart()  # these bytes can't be resumed
            raise
        finally:
            self._digest.close()
            self._join_noting()
            self._note()

    def _until_complete(self) -> None:
        source, attempt, senseless = self._source, 0, 0
        while not source.pieces.complete:
            if source.version is not None and not source.resumable:
                self._restart()  # without an ETag the rest may be of another version
            before = source.pieces.done
            try:
                self._read()
                continue
            except ChangedError as error:
                self._changes += 1
                if self._changes > _MOST_CHANGES:
                    raise UnreachableError("The file in the bucket keeps changing") from error
                self._restart(changed=True)
                failure: LoraTuiError = error
            except (ExpiredLinkError, BusyError) as error:
                source.discard_link()  # some stacks answer 500 to an expired link
                failure = error
            except (UntrustedError, ProxyRefusedError):
                raise
            except InvalidResponseError as error:
                senseless += 1
                if senseless >= _MOST_INVALID_ANSWERS:
                    raise
                failure = error
            except UnreachableError as error:
                failure = error
            if source.resumable and source.pieces.done > before:
                attempt = 0  # there was progress: a connection that keeps breaking still works
            attempt += 1
            self._retries += 1
            if self._retries > _MANY_RETRIES + source.pieces.done // _LEAST_BYTES_A_RETRY:
                raise failure
            self._report_progress()
            if not self._options.wait(attempt, getattr(failure, "retry_after", None)):
                self._check_stop()
                if isinstance(failure, ExpiredLinkError):
                    raise UnreachableError(str(failure), details=failure.details) from failure
                raise failure
            self._check_stop()

    def _read(self) -> None:
        """Read until nothing is missing. Raises the error of the last reader."""
        options = self._options
        readers = Readers(
            self._source, connections=options.kept, host=options.host, limit=options.limit
        )
        try:
            readers.start()
            while len(readers):
                for error, others in readers.wait(_TICK_SECONDS):
                    self._handle_failure(error, others=others)
                self._check_stop()
                self._report_progress_sometimes()
                self._digest.follow(self._source.pieces.frontier)
                self._write_note_sometimes()
                self._scale_readers(readers)
        finally:
            readers.stop()

    def _handle_failure(self, error: BaseException, *, others: int) -> None:
        """Continue with the other connections if that can work; else raise the error."""
        if isinstance(error, ChangedError) or not others:
            raise error
        if not isinstance(error, (UnreachableError, ExpiredLinkError)):
            raise error
        self._retries += 1
        if isinstance(error, (ExpiredLinkError, BusyError)) and self._source.discard_link():
            return  # the link has expired: the next reader makes a new one
        self._source.scaling.connection_lost(others)

    def _scale_readers(self, readers: Readers) -> None:
        """Start and dismiss readers."""
        pieces = self._source.pieces
        if not self._source.resumable or not len(readers):
            return
        allowed = self._source.scaling.observe(
            time.monotonic(), pieces.done, pieces.missing, readers.receiving
        )
        limit = self._options.limit
        if limit is not None and limit.bytes_a_second < _SLOW_LIMIT:
            allowed = 1
        elif self._source.scaling.expects_more and not self._opened_ahead:
            self._opened_ahead = True
            readers.open_ahead(self._options.connections - len(readers))
        while len(readers) < allowed and readers.start():
            pass
        readers.limit_to(allowed)

    def _restart(self, *, changed: bool = False) -> None:
        self._join_noting()
        self._digest.close()
        self._digest = IncrementalDigest(self._part.descriptor)
        self._source.restart(changed=changed)

    def _check_stop(self) -> None:
        if self._options.stop.is_set():
            raise CancelledError("The download was stopped")

    def _report_progress_sometimes(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            self._report_progress()

    def _report_progress(self) -> None:
        pieces = self._source.pieces
        self._options.progress(pieces.done, pieces.total, self._retries)

    def _write_note_sometimes(self) -> None:
        """In a thread, as flushing a second's bytes to the disk may take longer than a second.

        Raises DiskError where the file or its directory is gone: what is still to come would be
        fetched in vain.
        """
        now = time.monotonic()
        if now - self._noted_at < NOTE_SECONDS:
            return
        self._part.check_in_place()
        if self._noting is None or not self._noting.is_alive():
            self._noted_at = now
            self._noting = threading.Thread(target=self._note, name="note", daemon=True)
            self._noting.start()

    def _join_noting(self) -> None:
        if self._noting is not None:
            self._noting.join()
            self._noting = None

    def _note(self) -> None:
        version, pieces = self._source.version, self._source.pieces
        if version is None or not self._part.exists:
            return
        gaps = pieces.gaps()
        with suppress(OSError):  # a full disk: the previous note remains valid
            self._part.note(version, gaps)
