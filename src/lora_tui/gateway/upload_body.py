"""Bodies of uploads: their size and type, and the transport that sends large ones.

httpx takes more than twice the processor time for the same bytes (docs/architecture.md), so large
bodies are sent by `http.client`; httpx still does everything else for these requests.
"""

from __future__ import annotations

import http.client
import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import httpx

from lora_tui.errors import IntegrityError
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.limits import Body, Connection

# The server responds to an upload when it has stored all of it.
UPLOAD_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=120.0, write=60.0, pool=30.0)
LARGE_BODY: Final[Mapping[str, Any]] = {"direct": True}
"""`extensions` of a request that is sent by `http.client`."""

_BINARY: Final = "application/octet-stream"
_TYPES: Final = {".json": "application/json", ".tar": "application/x-tar"}
_PIECE: Final = 256 * 1024
_MOST_BYTES: Final = 1 << 20
"""The limit of a response, which says whether the body was stored."""


def content_type_of(path: str) -> str:
    """The content type of a file in the bucket, which allows three."""
    return next((kind for end, kind in _TYPES.items() if path.lower().endswith(end)), _BINARY)


def checked_content_type(content_type: str) -> str:
    """The type itself. Raises ValueError if the bucket does not allow it."""
    if content_type not in (_BINARY, *_TYPES.values()):
        raise ValueError(f"the bucket does not take {content_type}")
    return content_type


def exact_bytes(body: BinaryIO | Iterator[bytes], size: int) -> Iterator[bytes]:
    """The bytes of the body. Raises IntegrityError if they are not exactly `size` bytes."""
    read = getattr(body, "read", None)
    source: Iterator[bytes] = iter(lambda: read(_PIECE), b"") if read else iter(body)
    seen = 0
    for data in source:
        seen += len(data)
        if seen > size:
            raise IntegrityError(
                "The file is larger than was announced", details=f"announced {size} bytes"
            )
        yield data
    if seen != size:
        raise IntegrityError(
            "The file ended early", details=f"announced {size} bytes, there were {seen}"
        )


class UploadTransport(httpx.BaseTransport):
    """Sends LARGE_BODY requests by `http.client`, all others by `others`.

    Behind a proxy all requests go by `others`: such a connection is slow, so httpx is fast enough.
    """

    def __init__(self, base_url: str, others: httpx.BaseTransport) -> None:
        self._others = others
        self._usable_files = proxy_for(base_url) is None
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not (self._usable_files and request.extensions.get("direct")):
            return self._others.handle_request(request)
        connection = self._connection(request)
        try:
            response = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            with self._lock:
                self._idle.append(connection)
        return response

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()
        self._others.close()

    def _connection(self, request: httpx.Request) -> _Connection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_alive():
                    return connection
                connection.close()
        return _Connection(str(request.url))


class _Connection(Connection):
    """One connection to the host of the client."""

    def is_alive(self) -> bool:
        """Whether it is open: a connection that the server has closed is readable."""
        return self.sock is not None and not select.select([self.sock], [], [], 0)[0]

    def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and read the whole response. Raises httpx.TransportError."""
        seconds = request.extensions.get("timeout", {})
        if self.sock is None:
            self.timeout = seconds.get("connect")
            with _translated(httpx.ConnectError, httpx.ConnectTimeout):
                self.connect()
        self.sock.settimeout(seconds.get("write"))
        whole = True
        try:
            with _translated(httpx.WriteError, httpx.WriteTimeout):
                self._send(request)
        except httpx.WriteError:
            whole = False  # a server that refuses may respond before it has read everything
        self.sock.settimeout(seconds.get("read"))
        with _translated(httpx.ReadError, httpx.ReadTimeout):
            answer = self.getresponse()
            content = Body(answer).read_all(_MOST_BYTES)
        if not whole or not answer.isclosed():
            self.close()
        headers = [  # as bytes: a server's own values need not be ASCII
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()
        ]
        return httpx.Response(answer.status, headers=headers, content=content)

    def _send(self, request: httpx.Request) -> None:
        target = request.url.raw_path.decode("ascii")
        self.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            self.putheader(name, value)
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.endheaders(iter(request.stream))


@contextmanager
def _translated(
    broken: type[httpx.NetworkError], slow: type[httpx.TimeoutException]
) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise slow(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise broken(str(error)) from error
