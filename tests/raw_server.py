"""A server that answers byte for byte what a test says, as no well-behaved server would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

Answer = Callable[[str], Iterable[bytes]]
"""From the head of a request to what is sent; then the connection ends."""


class RawServer:
    """Answers one request a connection, in threads."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sign(self, _path: str = "") -> str:
        """A link as the storage gives it."""
        return f"{self.url}/file?token=t"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            request = head.decode("latin-1")
            self.requests.append(request)
            for piece in self.answer(request):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The head of an answer with these header lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def whole(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """A well-formed answer."""
    return head(*lines, f"Content-Length: {len(body)}", "Connection: close", status=status) + body


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks, with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def for_ever(piece: bytes) -> Iterator[bytes]:
    """The same again and again, until the client is gone."""
    while True:
        yield piece
