"""A TLS connection inside another one: to a server, by way of a proxy that speaks TLS itself.

The standard library wraps sockets of the system only, so the inner connection goes through memory.
It offers what `http.client` asks of a socket.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_READ = 256 << 10


class NestedTls:
    """The inner connection. Used by one thread at a time."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        """Greet the server through `outer`. Raises OSError (ssl.SSLError among them)."""
        self.outer: socket.socket = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._files = 0
        self._closed = False
        self._do(self._tls.do_handshake)

    def recv_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as bytes have come; 0 at the end."""
        try:
            # with a buffer it returns a count, whatever typeshed says
            return self._do(lambda: self._tls.read(len(buffer), buffer))  # type: ignore[return-value]
        except ssl.SSLZeroReturnError:
            return 0

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._do(lambda: self._tls.write(rest)) :]  # noqa: B023 - called at once

    def settimeout(self, seconds: float | None) -> None:
        """Seconds of silence until TimeoutError."""
        self.outer.settimeout(seconds)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - as `socket.socket`
        """The bytes that come, as a file. The connection lasts as long as its last file."""
        self._files += 1
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """End it, as soon as no file of it is open."""
        self._closed = True
        if not self._files:
            self.outer.close()

    def release(self) -> None:
        """A file of it was closed."""
        self._files -= 1
        if self._closed:
            self.close()

    def _do(self, call: Callable[[], Result]) -> Result:
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.outer.recv(_READ)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            self._flush()
            return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.outer.sendall(self._outgoing.read())


class _Incoming(io.RawIOBase):
    def __init__(self, connection: NestedTls) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._connection.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection.release()
