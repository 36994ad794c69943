"""Limits on responses of `http.client`: the size of heads, slowness, and a definite end.

`http.client` alone accepts a truncated chunked body as complete, reads interim responses (1xx)
without limit, and applies its timeout to each single byte. Downloads, uploads and the harvest use
`Connection`, whose responses are `Response`s; `Body` reads a body.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from email.message import Message
from typing import Any, Final
from urllib.parse import urlsplit

from lora_tui import formats
from lora_tui.gateway.environment import tls_context
from lora_tui.gateway.headers import byte_count

MOST_HEAD_BYTES: Final = 64 << 10
"""The limit of all heads of a response, interim ones (1xx) included."""
HEAD_SECONDS: Final = 30.0
"""The limit from the first byte of a response to the end of its head."""
SLOWEST: Final = 1024
"""Bytes a second; a response that is slower over `SLOW_SECONDS` of waiting is given up."""
SLOW_SECONDS: Final = 15.0

_LONGEST_LINE: Final = 4096
_FRAMING: Final = 64 << 10
_FRAMING_SHARE: Final = 16
"""The limit of chunk sizes, extensions and trailers: in bytes, plus a share of the payload."""


class BrokenOffError(http.client.HTTPException):
    """The connection ended before the response."""


class MalformedError(http.client.HTTPException):
    """The response can't be read: contradictory lengths, or malformed chunks."""


class EndlessError(http.client.HTTPException):
    """The head or the chunk framing of a response is too long."""


class SlowError(TimeoutError):
    """The response is too slow."""


class ReceiveRate:
    """Measures one response as its bytes arrive; only the time spent waiting counts."""

    def __init__(self, *, any_rate: bool = False) -> None:
        """`any_rate`: only the head has limits."""
        self._any_rate = any_rate
        self._in_head = True
        self._head_bytes = 0
        self._began: float | None = None
        self._waited = 0.0
        self._count = 0

    def end_of_head(self) -> None:
        """The head is complete; the next bytes are of the body."""
        self._in_head = False

    def add(self, count: int, waited: float) -> None:
        """Add bytes that arrived, and the seconds of waiting. Raises EndlessError, SlowError."""
        if self._in_head:
            now = time.monotonic()
            self._began = now if self._began is None else self._began
            self._head_bytes += count
            if self._head_bytes > MOST_HEAD_BYTES:
                raise EndlessError("the head of the answer does not end")
            if now - self._began > HEAD_SECONDS:
                raise SlowError("the head of the answer does not end")
            return
        if self._any_rate:
            return
        self._count += count
        self._waited += waited
        if self._waited < SLOW_SECONDS:
            return
        if self._count < SLOWEST * self._waited:
            raise SlowError(f"{formats.exact_bytes(self._count)} in {self._waited:.0f} s")
        self._count, self._waited = 0, 0.0


class Response(http.client.HTTPResponse):
    """A response with a limit on its head and on its slowness."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        self._pace = ReceiveRate()
        super().__init__(_Watched(sock, self._pace), *arguments, **options)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Read the head; heads of interim responses are skipped."""
        while True:
            try:
                super().begin()
            except http.client.HTTPException as error:
                if type(error) in (http.client.HTTPException, http.client.LineTooLong):
                    raise EndlessError("the head of the answer does not end") from error
                raise
            if not 100 <= self.status < 200 or self.status == 101:
                break
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first head
        self._pace.end_of_head()


class Connection(http.client.HTTPConnection):
    """A connection to the host of a URL, over TLS where it is an https one."""

    response_class = Response

    def __init__(
        self, url: str, *, timeout: float | None = None, addresses: Sequence[str] = ()
    ) -> None:
        """`timeout`: seconds to connect. `addresses`: what to connect to in place of the name."""
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        if self._secure:
            self.default_port = 443  # so that the Host header goes without it
        super().__init__(parts.hostname or "", parts.port or self.default_port, timeout=timeout)
        self._addresses = addresses or (self.host,)

    def connect(self) -> None:
        """Make the connection. Raises OSError."""
        failure: OSError | None = None
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as error:
                failure = error
        else:
            raise failure or OSError("no address")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._secure:
            self.sock = tls_context().wrap_socket(self.sock, server_hostname=self.host)


class FileBody(ABC):
    """The body of a response, read into the caller's buffer."""

    def __init__(self, length: int | None, *, chunked: bool) -> None:
        self.length = length
        """Bytes, where the head tells."""
        self.chunked = chunked
        self._failure: Exception | None = None

    @property
    def has_certain_end(self) -> bool:
        """Whether a complete body can be told from a broken connection."""
        return self.chunked or self.length is not None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; fewer bytes at the end, then 0.

        Bytes that arrived before a failure are returned first. Raises OSError (also SlowError),
        HTTPException.
        """
        filled = 0
        while filled < len(buffer):
            try:
                count = self.read_some(buffer[filled:])
            except (OSError, ValueError, http.client.HTTPException) as error:
                if not filled:
                    raise
                self._failure = error
                break
            if not count:
                break
            filled += count
        return filled

    def read_some(self, buffer: memoryview) -> int:
        """Read what has arrived; 0 at the end. Raises what `read_into` raises."""
        if self._failure is not None:
            raise self._failure
        return self._read_once(buffer)

    def read_all(self, most: int) -> bytes:
        """Read all of it, but no more than `most` bytes. Raises what `read_into` raises."""
        buffer = memoryview(bytearray(most if self.length is None else min(most, self.length)))
        return bytes(buffer[: self.read_into(buffer)])

    @abstractmethod
    def _read_once(self, buffer: memoryview) -> int:
        """Read what has arrived; 0 at the end."""


class Body(FileBody):
    """A body over `http.client`: of a known length, in chunks, or all until the connection ends."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        """Raises MalformedError where the head contradicts itself."""
        self._response = response
        self._file: io.BufferedReader | None = response.fp
        bodiless = response.status in (204, 304)
        codings = [] if bodiless else _tokens(response.headers, "Transfer-Encoding")
        if codings not in ([], ["chunked"]):
            raise MalformedError("the answer has a transfer encoding that was not requested")
        length = None if codings else _content_length(response.headers)
        super().__init__(0 if bodiless else length, chunked=bool(codings))
        self._left = 0 if self.chunked else self.length
        self._payload = self._framing = 0
        self._first_chunk = True
        if self.length == 0:
            self._end()

    def _read_once(self, buffer: memoryview) -> int:
        file = self._file
        if file is None:
            return 0
        if self.chunked and not self._left:
            self._left = self._next_chunk(file)
            if not self._left:
                self._end()
                return 0
        wanted = buffer if self._left is None else buffer[: self._left]
        count = file.readinto1(wanted)
        if not count:
            if self._left is not None:
                raise BrokenOffError("the connection ended in the middle of the answer")
            self._end()
            return 0
        self._payload += count
        if self._left is not None:
            self._left -= count
            if not self._left and not self.chunked:
                self._end()
        return count

    def _next_chunk(self, file: io.BufferedReader) -> int:
        """The length of the next chunk; 0 after the last one, when the trailers are read."""
        if not self._first_chunk and self._line(file):
            raise MalformedError("a chunk is longer than it says")
        self._first_chunk = False
        size = self._line(file).partition(b";")[0].strip(b" \t")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            raise MalformedError("a chunk has no length")
        length = int(size, 16)
        if not length:
            while self._line(file):
                pass
        return length

    def _line(self, file: io.BufferedReader) -> bytes:
        line = file.readline(_LONGEST_LINE)
        self._framing += len(line)
        if self._framing > _FRAMING + _FRAMING_SHARE * self._payload:
            raise EndlessError("the answer has more chunk framing than content")
        if not line.endswith(b"\n"):
            if len(line) == _LONGEST_LINE:
                raise EndlessError("a line of the answer does not end")
            raise BrokenOffError("the connection ended in the middle of the answer")
        return line.rstrip(b"\r\n")

    def _end(self) -> None:
        self._file = None
        self._response.close()  # the connection may be used again


def _content_length(headers: Message) -> int | None:
    values = set(_tokens(headers, "Content-Length"))
    if not values:
        return None
    length = byte_count(values.pop())
    if length is None or values:
        raise MalformedError("the answer does not say how long it is")
    return length


def _tokens(headers: Message, name: str) -> list[str]:
    text = ",".join(str(value) for value in headers.get_all(name, []))
    return [token for token in (part.strip().lower() for part in text.split(",")) if token]


class _Watched:
    """The methods of a socket that a response needs; measures the rate of reading."""

    def __init__(self, sock: socket.socket, pace: ReceiveRate) -> None:
        self._socket = sock
        self._pace = pace

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The incoming bytes, as a file."""
        return io.BufferedReader(_Incoming(self._socket, self._socket.makefile("rb"), self._pace))


class _Incoming(io.RawIOBase):
    def __init__(self, sock: socket.socket, holder: Any, pace: ReceiveRate) -> None:
        self._socket = sock
        self._holder = holder  # keeps the socket open as long as the response
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        began = time.monotonic()
        count = self._socket.recv_into(buffer)
        self._pace.add(count, time.monotonic() - began)
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._holder.close()
