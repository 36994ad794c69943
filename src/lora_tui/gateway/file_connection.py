"""One connection over which files are read by GET: a direct one, or one through a proxy.

A direct connection is `http.client`, which reads into the caller's buffer: httpx manages a third
of that rate (docs/architecture.md). Behind a proxy httpx is used, which knows every kind of proxy.
Both apply the limits of limits.py to heads and to slowness.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from lora_tui.errors import BackendError, UnreachableError
from lora_tui.gateway.environment import httpx_proxy, tls_context
from lora_tui.gateway.headers import byte_count, content_span
from lora_tui.gateway.limited_transport import LimitedTransport
from lora_tui.gateway.limits import (
    Body,
    BrokenOffError,
    Connection,
    EndlessError,
    FileBody,
    MalformedError,
    SlowError,
)
from lora_tui.gateway.responses import require_encoding


class ProxyRefusedError(UnreachableError):
    """The proxy refuses the connection; a second try would not change that."""


@dataclass(frozen=True)
class FileResponse:
    """The head of a response, and its body."""

    status: int
    headers: Message
    body: Callable[[], FileBody]
    """Opens the body, once. Raises MalformedError where the head contradicts itself."""
    is_read: Callable[[], bool]
    """Whether the body was read to its end, so that the connection can be used again."""
    abort: Callable[[], None] = field(repr=False)
    """Makes a read that waits in another thread fail at once."""

    def header(self, name: str) -> str | None:
        """The value of a header; None where it is missing."""
        value = self.headers.get(name)
        return None if value is None else str(value)

    def require_unencoded(self, what: str) -> None:
        """Raises BackendError unless the body is the file itself; see `require_encoding`."""
        require_encoding(",".join(map(str, self.headers.get_all("Content-Encoding", []))), what)

    def span(self, start: int, length: int | None, sender: str) -> tuple[int, int, int | None]:
        """Start and end (the byte after) of a 206 response, and the file's size where it tells.

        `start` is what was requested, `length` that of the body. Raises BackendError where they
        differ from what the response says of itself.
        """
        span = content_span(self.header("Content-Range"))
        if span is None or span[0] != start or length not in (None, span[1] - span[0]):
            raise BackendError(f"{sender} sent a different part of the file than was requested")
        return span


class FileConnection(Protocol):
    """A connection to the host of one URL. Used by one thread, but for `abort`."""

    @property
    def is_open(self) -> bool:
        """Whether it was made, and was not closed since."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing came since the last response: neither an end nor unrequested bytes."""

    def open(self) -> None:
        """Make the connection, where that is possible before a request. Raises OSError."""

    def get(self, url: str, headers: Mapping[str, str]) -> FileResponse:
        """Request a URL of the host. Raises OSError, HTTPException, UnreachableError (a proxy)."""

    def abort(self) -> None:
        """Make a call that waits in another thread fail at once."""

    def close(self) -> None:
        """Close the connection."""


def file_connection(
    url: str, *, connect_seconds: float, stall_seconds: float, addresses: Sequence[str] = ()
) -> FileConnection:
    """A connection to the host of `url`, not yet made.

    A direct one is made to one of `addresses` where some are given; a proxy resolves the name
    itself. `stall_seconds`: how long to wait for the next byte. Raises ConfigError for a proxy of
    a kind that can't be used.
    """
    proxy = httpx_proxy(url)
    if proxy is not None:
        return _ProxiedConnection(proxy, connect_seconds, stall_seconds)
    return _DirectConnection(url, connect_seconds, stall_seconds, addresses)


class _DirectConnection(Connection):
    def __init__(
        self, url: str, connect_seconds: float, stall_seconds: float, addresses: Sequence[str]
    ) -> None:
        super().__init__(url, timeout=connect_seconds, addresses=addresses)
        self._stall_seconds = stall_seconds

    @property
    def is_open(self) -> bool:
        return self.sock is not None

    @property
    def is_quiet(self) -> bool:
        if self.sock is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return not selector.select(0)

    def open(self) -> None:
        if self.sock is None:
            self.connect()

    def get(self, url: str, headers: Mapping[str, str]) -> FileResponse:
        parts = urlsplit(url)
        path = parts.path or "/"
        self.open()
        sock = self.sock
        sock.settimeout(self._stall_seconds)
        self.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=dict(headers))
        response = self.getresponse()
        return FileResponse(
            response.status,
            response.headers,
            lambda: Body(response),
            response.isclosed,
            lambda: _shut_down(sock),
        )

    def abort(self) -> None:
        _shut_down(self.sock)


class _ProxiedConnection:
    def __init__(self, proxy: httpx.Proxy, connect_seconds: float, stall_seconds: float) -> None:
        self._network = LimitedTransport(verify=tls_context(), proxy=proxy)
        self._seconds = httpx.Timeout(stall_seconds, connect=connect_seconds).as_dict()
        self.is_open = False

    @property
    def is_quiet(self) -> bool:
        return self.is_open  # httpx looks itself

    def open(self) -> None:
        pass  # httpx connects with the request

    def get(self, url: str, headers: Mapping[str, str]) -> FileResponse:
        request = httpx.Request("GET", url, headers=headers, extensions={"timeout": self._seconds})
        self.is_open = True
        with _as_http_client():
            response = self._network.handle_request(request)
        if response.status_code == 407:
            response.close()
            raise _proxy_error("407")
        response.request = request
        message = Message()
        for name, value in response.headers.multi_items():
            message[name] = value
        body = _ProxiedBody(response)
        return FileResponse(
            response.status_code, message, lambda: body, lambda: body.is_read, self.abort
        )

    def abort(self) -> None:
        _shut_down(self._network.latest_socket)

    def close(self) -> None:
        self._network.close()
        self.is_open = False


class _ProxiedBody(FileBody):
    """The body of a response of httpx."""

    def __init__(self, response: httpx.Response) -> None:
        chunked = "transfer-encoding" in response.headers
        length = None if chunked else byte_count(response.headers.get("content-length"))
        super().__init__(0 if response.status_code in (204, 304) else length, chunked=chunked)
        self._pieces = response.iter_raw()
        self._arrived = memoryview(b"")
        self._left = self.length
        self.is_read = False
        if self.length == 0:
            self._next_piece()

    def _read_once(self, buffer: memoryview) -> int:
        if not self._arrived:
            self._next_piece()
        count = min(len(buffer), len(self._arrived))
        buffer[:count] = self._arrived[:count]
        self._arrived = self._arrived[count:]
        if self._left is not None:
            self._left -= count
            if not self._left and not self.is_read:
                self._next_piece()  # there is none, which ends the response
        return count

    def _next_piece(self) -> None:
        if self.is_read:
            return
        with _as_http_client():
            piece = next((piece for piece in self._pieces if piece), None)
        if piece is None:
            self.is_read = True
        else:
            self._arrived = memoryview(piece)


def _shut_down(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):
            # not `SSLSocket.shutdown`: after it the socket would hand out undeciphered bytes
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


@contextmanager
def _as_http_client() -> Iterator[None]:
    """Raise what `http.client` and limits.py would raise in place of httpx's errors."""
    try:
        yield
    except httpx.ProxyError as error:
        raise _proxy_error(str(error)) from None
    except httpx.HTTPError as error:
        raise _translated(error) from None  # the error's own text may hold the URL, a key


def _translated(error: httpx.HTTPError) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ssl.SSLCertVerificationError, SlowError, EndlessError)):
            return cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError("no bytes came")
    if isinstance(error, httpx.RemoteProtocolError):
        if _BROKEN_OFF.search(str(error)):
            return BrokenOffError("the connection ended in the middle of the answer")
        return MalformedError("the answer can't be read")
    return ConnectionError(type(error).__name__)


def _proxy_error(text: str) -> UnreachableError:
    """The error for what httpx says of a proxy: a status of CONNECT, or a refusal by SOCKS."""
    status = text[:3] if re.match(r"\d{3}\b", text) else None
    if status == "407" or "username" in text.lower():
        return ProxyRefusedError(
            "The proxy asks for a login" if status else "The proxy does not accept the login",
            details=f"HTTP {status}" if status else None,
            remedy="put it into the proxy's URL: http://user:password@host:port",
        )
    refused = (status or "").startswith("4") or _SOCKS_REFUSES.search(text)
    kind = ProxyRefusedError if refused else UnreachableError
    return kind(
        "The proxy does not let us reach the storage",
        details=f"HTTP {status}" if status else None,
    )


_BROKEN_OFF: Final = re.compile(r"peer closed connection|server disconnected", re.I)
_SOCKS_REFUSES: Final = re.compile(r"^Requested .* from proxy server|not allowed", re.I)
