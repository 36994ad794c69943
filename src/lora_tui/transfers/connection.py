"""One GET of a span of a file: TLS, proxies and time-outs; what the answer says of the file.

`http.client` reads into one buffer: httpx manages a third of that rate (docs/architecture.md).
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lora_tui import __version__
from lora_tui.errors import (
    BackendError,
    ExpiredLinkError,
    InterceptedError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.headers import content_span, strong_etag, with_pause
from lora_tui.gateway.nested_tls import NestedTls
from lora_tui.gateway.proxies import proxy_for
from lora_tui.gateway.route import credentials, is_socks, secured, to_proxy, tunnel
from lora_tui.gateway.wire import (
    Body,
    BrokenOffError,
    EndlessError,
    MalformedError,
    Response,
    SlowError,
    is_unencoded,
)
from lora_tui.text import terminal_safe
from lora_tui.transfers.part import Version

_CONNECT_SECONDS: Final = 15.0
_BETWEEN: Final = "try again later; if it persists, a proxy or a CDN in between may be broken"


class BusyError(UnreachableError):
    """The server asks to slow down (429, 5xx)."""

    def __init__(self, message: str, *, details: str, retry_after: str | None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


class UntrustedError(UnreachableError):
    """The server's certificate can't be trusted; a second try would not change that."""


class InvalidAnswerError(UnreachableError):
    """The answer is too slow or invalid; three tries are enough to tell."""


class ChangedError(UnreachableError):
    """The object in the bucket is not the one that the bytes so far are of."""


@dataclass
class Answer:
    """The body of a file, from `start` on."""

    start: int
    end: int | None
    """The byte after the last one, where that is told."""
    version: Version
    ranged: bool
    """Whether it is the part that was asked for; else it is the whole file."""
    refused_part: bool
    """Whether a part was asked for, and the whole file came."""
    _body: Body
    _socket: socket.socket | None

    @property
    def certain_end(self) -> bool:
        """Whether the end of the body is told from a broken connection."""
        # a part without the length of the whole tells where the part ends, not the file
        return not self.ranged and self._body.has_certain_end

    @property
    def tells_length(self) -> bool:
        """Whether its head says how long the file is."""
        return self.version.total is not None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; 0 at the end. Raises UnreachableError, also for a stalled line."""
        try:
            return self._body.read_into(buffer)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            raise _unreachable(error) from None

    def abort(self) -> None:
        """Wake up a thread that waits for bytes; its read fails."""
        if self._socket is not None:
            with suppress(OSError):
                # not `SSLSocket.shutdown`: after it the socket would hand out undeciphered bytes
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Line:
    """One connection to the storage, used again where the answer before was read to its end."""

    def __init__(self, *, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._connection: _Connection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._aborted = False

    @contextmanager
    def ask(
        self, url: str, start: int, end: int | None, etag: str | None, *, probe: bool = False
    ) -> Iterator[Answer]:
        """Ask for the bytes from `start` up to `end`, provided that the object is still `etag`.

        `probe` asks for the whole file as a part of it: the answer tells whether parts can be had.

        Raises ExpiredLinkError where the link is refused, NotFoundError, UnreachableError
        (BusyError, ChangedError and UntrustedError among them), BackendError. No error's text
        holds any of the URL.
        """
        headers = {
            "User-Agent": f"lora-tui/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if start or end is not None or probe:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if etag:
                headers["If-Range"] = etag
        try:
            response, raw = self._send(url, headers)
            asked_for_part = "Range" in headers
            if probe and response.status == 206 and _tells_no_length(response):
                response, raw = self._without_range(url, headers)
                asked_for_part = False
            # an empty object has no part, one that became shorter not this one: some stores say
            # 416 then, others that they failed
            if asked_for_part and (response.status == 500 or (probe and response.status == 416)):
                whole, whole_raw = self._without_range(url, headers)
                if probe or (whole.status == 200 and strong_etag(whole.getheader("ETag")) != etag):
                    response, raw, asked_for_part = whole, whole_raw, False
            yield _answer(response, raw, start, asked_for_part=asked_for_part)
        finally:
            if self._response is None or not self._response.isclosed():
                self.close()  # there is more to come on it, that nobody wants

    def abort(self) -> None:
        """Wake up a thread that waits for an answer; its `ask` fails."""
        self._aborted = True
        sock = self._connection.sock if self._connection is not None else None
        outer = sock.outer if isinstance(sock, NestedTls) else sock
        if outer is not None:
            with suppress(OSError):
                socket.socket.shutdown(outer, socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._response = None

    def _without_range(
        self, url: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, socket.socket | None]:
        self.close()
        del headers["Range"]
        headers.pop("If-Range", None)
        return self._send(url, headers)

    def _send(
        self, url: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, socket.socket | None]:
        used = self._connection is not None and self._connection.sock is not None
        try:
            if not used or self._connection is None:
                self.close()
                self._connection = _Connection(url)
                self._connection.connect()
            sock: socket.socket | NestedTls | None = self._connection.sock
            if sock is not None:
                sock.settimeout(self._stall_seconds)
            self._response = None
            self._response = self._connection.get(url, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()
            if used and not self._aborted:  # the server may have closed it meanwhile
                return self._send(url, headers)
            raise _unreachable(error) from None
        return self._response, sock.outer if isinstance(sock, NestedTls) else sock


class _Connection(http.client.HTTPConnection):
    """To the host of a URL, by way of a proxy where one is set."""

    response_class = Response

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        super().__init__(
            parts.hostname or "",
            parts.port or (443 if self._secure else 80),
            timeout=_CONNECT_SECONDS,
        )
        if self._secure:
            self.default_port = 443  # so that the Host header goes without it
        self._proxy = proxy_for(url)
        # a plain request is handed to an HTTP proxy; everything else goes through a tunnel
        self._handed_over = (
            self._proxy is not None and not self._secure and not is_socks(self._proxy)
        )

    def connect(self) -> None:
        """Called by `request`, or before it."""
        if self._proxy is None:
            super().connect()
        elif self._handed_over:
            self.sock = to_proxy(self._proxy, _CONNECT_SECONDS)
        else:
            self.sock = tunnel(self._proxy, self.host, self.port, _CONNECT_SECONDS)
        if self._secure:
            self.sock = secured(self.sock, self.host)

    def get(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The answer to a GET of this URL, which must be of the same host."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if self._handed_over and self._proxy is not None:
            target = f"http://{parts.netloc}{target}"
            headers = headers | credentials(self._proxy)
        self.request("GET", target, headers=headers)
        return self.getresponse()


def _tells_no_length(response: http.client.HTTPResponse) -> bool:
    span = content_span(response.getheader("Content-Range"))
    return span is not None and span[2] is None


def _answer(
    response: http.client.HTTPResponse,
    raw: socket.socket | None,
    asked_from: int,
    *,
    asked_for_part: bool,
) -> Answer:
    status = response.status
    etag = strong_etag(response.getheader("ETag"))
    if status in (200, 206):
        if not is_unencoded(response.headers):
            coding = terminal_safe(response.getheader("Content-Encoding"), limit=60)
            raise BackendError(
                "The storage sends the file in an encoding that was not requested",
                details=f"Content-Encoding: {coding}",
                remedy="a proxy or a CDN in between must not compress files",
            )
        try:
            body = Body(response)
        except http.client.HTTPException as error:
            raise BackendError(
                "The storage sent an invalid answer",
                details=str(error),
                remedy=_BETWEEN,
            ) from None
    if status == 200:
        return Answer(0, body.length, Version(etag, body.length), False, asked_for_part, body, raw)
    if status == 206:
        span = content_span(response.getheader("Content-Range"))
        if span is None or body.length not in (None, span[1] - span[0]):
            raise BackendError("The storage sent an invalid range")
        start, end, total = span
        if start != asked_from:
            raise BackendError("The server answered with another part of the file than asked for")
        return Answer(start, end, Version(etag, total), True, False, body, raw)
    if status == 416:
        raise ChangedError("The file in the bucket has become shorter")
    details = with_pause(f"HTTP {status}", response.getheader("Retry-After"))
    if 300 <= status < 400:
        raise InvalidAnswerError(
            "The storage redirects to another address",
            details=details,
            remedy=InterceptedError.default_remedy,
        )
    if 400 <= status < 500 and "html" in response.getheader("Content-Type", "").lower():
        raise InterceptedError(
            "A proxy or gateway answered instead of the storage", details=details
        )
    if status in (400, 401, 403):
        # an expired link; where it is refused for good the attempts run out and say so
        raise ExpiredLinkError("The signed link was refused", details=details)
    if status in (404, 410):
        raise NotFoundError("The file is missing from the bucket")
    if status == 429 or status >= 500:
        raise BusyError(
            "The storage did not answer",
            details=details,
            retry_after=response.getheader("Retry-After"),
        )
    raise BackendError("The storage sent an invalid answer", details=details)


def _unreachable(error: Exception) -> UnreachableError:
    # the error's own text may hold the URL, and with it the token
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedError(
            "The certificate of the storage can't be trusted",
            details=type(error).__name__,
            remedy="check the URL and the clock; for a private CA set SSL_CERT_FILE",
        )
    if isinstance(error, SlowError):
        return InvalidAnswerError("The storage sends almost nothing", details=str(error))
    if isinstance(error, BrokenOffError):
        return UnreachableError("The connection ended in the middle of a file")
    if isinstance(error, (EndlessError, MalformedError)):
        return InvalidAnswerError(
            "The storage sent an invalid answer", details=str(error), remedy=_BETWEEN
        )
    if isinstance(error, TimeoutError):
        return UnreachableError("The connection to the storage stalled", details="no bytes came")
    return UnreachableError("The connection to the storage failed", details=type(error).__name__)
