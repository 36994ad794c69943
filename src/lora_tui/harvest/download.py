"""Downloads one file of a job into its spool, resumed after broken connections.

A file whose source gives a strong ETag continues where it broke off; others are read again and
compared. A large one is read by several connections at once (range_readers.py).
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Final

from lora_tui import formats
from lora_tui.errors import IntegrityError
from lora_tui.harvest.failures import RefusedResultError, SourceUnreachableError
from lora_tui.harvest.range_readers import LEAST_BYTES, RangeReaders
from lora_tui.harvest.source_connection import Answer, SourceConnection, changed_error
from lora_tui.harvest.spool import Spool
from lora_tui.transfers.pieces import Pieces
from lora_tui.transfers.remote_file import MOST_BYTES

_BUFFER: Final = 1 << 20


class Download:
    """The download of one file. Call `attempt` until it returns, then `Spool.finish`."""

    def __init__(self, spool: Spool, *, allow_private_urls: bool) -> None:
        self._spool = spool
        self._allow_private_urls = allow_private_urls
        self._known = False
        self._validator: str | None = None
        self._pieces: Pieces | None = None
        """The gaps of a file that is read by several connections."""
        self._ranges_refused = False

    def attempt(self, url: str) -> None:
        """Fetch the missing bytes.

        Raises what `SourceConnection.open` raises, IntegrityError, DiskError, DamagedFileError and
        SpoolClosedError.
        """
        have = self._spool.length
        # without a strong ETag a range may be of another version: read all again
        start = have if self._validator else 0
        with closing(SourceConnection(allow_private=self._allow_private_urls)) as connection:
            self._spool.call_at_close(connection.abort)
            answer = connection.open(url, start, self._validator)
            self._validator, before = answer.etag, self._validator
            self._announce(answer.total)
            if answer.start < have:
                self._skip(answer, have - answer.start)
            elif have and self._validator != before:
                raise changed_error()
            if self._pieces is not None and self._validator != before:
                raise changed_error()  # parts of the earlier version lie beyond the first gap
            if self._has_ranges(answer, have):
                self._read_ranges(url, connection, answer)
            else:
                self._read_on(answer)
        if answer.total is not None and self._spool.length < answer.total:
            raise SourceUnreachableError("The connection to the worker's storage broke off")

    def _has_ranges(self, answer: Answer, have: int) -> bool:
        if self._validator is None or answer.total is None or self._ranges_refused:
            return False
        return answer.total - have >= LEAST_BYTES

    def _read_ranges(self, url: str, connection: SourceConnection, answer: Answer) -> None:
        assert self._validator is not None
        assert answer.total is not None
        if self._pieces is None:
            self._pieces = Pieces(answer.total, [(self._spool.length, answer.total)])
        readers = RangeReaders(
            url,
            self._validator,
            self._pieces,
            self._spool,
            allow_private=self._allow_private_urls,
        )
        try:
            readers.run(connection, answer)
        finally:
            self._ranges_refused = readers.are_refused

    def _read_on(self, answer: Answer) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        while piece := answer.read(buffer):
            self._check_length(self._spool.length + len(piece))
            self._spool.append(piece)

    def _announce(self, total: int | None) -> None:
        if self._known:
            if total != self._spool.total:
                raise changed_error()
            return
        if total is not None:
            self._check_length(total)
        self._known = True
        self._spool.announce(total, self._validator)

    def _check_length(self, length: int) -> None:
        if length > MOST_BYTES:
            raise RefusedResultError(
                "A file is larger than the bucket takes",
                details=f"the limit is {formats.count(MOST_BYTES)}",
            )
        total = self._spool.total
        if total is not None and length > total:
            raise IntegrityError("The worker's storage sends more bytes than it announced")

    def _skip(self, answer: Answer, length: int) -> None:
        """Read the bytes that we have already and compare them."""
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_BUFFER))
        while length:
            piece = answer.read(buffer[:length])
            if not piece:
                raise SourceUnreachableError("The connection to the worker's storage broke off")
            digest.update(piece)
            length -= len(piece)
        if digest.hexdigest() != self._spool.sha256():
            raise changed_error()
