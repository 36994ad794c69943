"""Requests ranges of a file over one connection, and checks the responses."""

from __future__ import annotations

import http.client
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
from lora_tui.gateway.error_pages import PREFIX_BYTES, find_error_page
from lora_tui.gateway.file_connection import FileConnection, FileResponse, file_connection
from lora_tui.gateway.headers import content_span, strong_etag, with_retry_after
from lora_tui.gateway.limits import (
    BrokenOffError,
    EndlessError,
    FileBody,
    MalformedError,
    SlowError,
)
from lora_tui.gateway.responses import effective_status_of
from lora_tui.transfers.part import Version

_CONNECT_SECONDS: Final = 15.0
_FEW: Final = 4 << 10
"""Bytes that are enough to recognise a page that is larger than `PREFIX_BYTES`."""
_MOST_ERROR_BYTES: Final = 64 << 10
_BETWEEN: Final = "try again later; if it persists, a proxy or a CDN in between may be broken"


class BusyError(UnreachableError):
    """The server asks to slow down (429, 5xx)."""

    def __init__(self, message: str, *, details: str, retry_after: str | None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


class UntrustedError(UnreachableError):
    """The server's certificate can't be trusted; a second try would fail too."""


class InvalidResponseError(UnreachableError):
    """The response is too slow or invalid; given up after three tries."""


class PageError(InvalidResponseError):
    """A page or an error document was sent in place of the file."""

    default_remedy = InterceptedError.default_remedy


class ChangedError(UnreachableError):
    """The object in the bucket is not the version of the bytes fetched so far."""


@dataclass
class RangeResponse:
    """A successful response: the bytes of the file from `start`."""

    start: int
    end: int | None
    """The byte after the last one, if the response tells it."""
    version: Version
    ranged: bool
    """Whether it is the requested range; else it is the whole file."""
    range_ignored: bool
    """Whether a range was requested, and the whole file was sent."""
    is_html: bool
    """Whether its content type is HTML."""
    _body: FileBody
    _response: FileResponse

    @property
    def has_certain_end(self) -> bool:
        """Whether the end of the body can be told from a broken connection."""
        # a range without the total length tells the end of the range, not of the file
        return not self.ranged and self._body.has_certain_end

    @property
    def has_length(self) -> bool:
        """Whether its head tells the length of the file."""
        return self.version.total is not None

    def error_page(self, name: str) -> PageError | None:
        """The error if it is a page or an error document in place of the file `name`.

        Reads the start of the body, so call it only for responses that are discarded.
        """
        total, start = self.version.total, b""
        if self.start == 0 and not self.is_html:
            count = PREFIX_BYTES if total is None or total <= PREFIX_BYTES else _FEW
            buffer = memoryview(bytearray(count))
            with suppress(UnreachableError):
                start = bytes(buffer[: self.read_into(buffer)])
        content_type = self._response.header("Content-Type")
        if find_error_page(start, total, name, content_type) is None:
            return None
        return PageError(
            "A proxy or gateway answered instead of the storage, with a page or an error",
            details="it may be the login page of a network",
        )

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; 0 at the end. Raises UnreachableError, also if nothing arrives."""
        try:
            return self._body.read_into(buffer)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            raise _unreachable(error) from None

    def abort(self) -> None:
        """Make a read that waits in another thread fail at once."""
        self._response.abort()


class RangeConnection:
    """One connection to the storage, reused if the previous response was read to its end."""

    def __init__(self, *, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._connection: FileConnection | None = None
        self._origin: tuple[str, str] | None = None
        """Scheme and host with port of the URL that it is connected to."""
        self._response: FileResponse | None = None
        self._aborted = False

    @contextmanager
    def request(
        self, url: str, start: int, end: int | None, etag: str | None, *, probe: bool = False
    ) -> Iterator[RangeResponse]:
        """Request the bytes from `start` up to `end`, if the object still has this ETag.

        `probe` requests the whole file as a range, to learn whether the server supports ranges.

        Raises ExpiredLinkError for a refused link, NotFoundError, UnreachableError (also BusyError,
        ChangedError, UntrustedError), BackendError. No error text holds a part of the URL.
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
            response = self._send(url, headers)
            range_requested = "Range" in headers
            if probe and response.status == 206 and _tells_no_length(response):
                response = self._without_range(url, headers)
                range_requested = False
            # an empty object has no ranges, and one that became shorter not this one: some stores
            # answer 416, others 500
            if range_requested and (response.status == 500 or (probe and response.status == 416)):
                whole = self._without_range(url, headers)
                if probe or (whole.status == 200 and strong_etag(whole.header("ETag")) != etag):
                    response, range_requested = whole, False
            yield _range_response(response, start, range_requested=range_requested)
        finally:
            if self._response is None or not self._response.is_read():
                self.close()  # the rest of the response would arrive first

    @property
    def is_reusable(self) -> bool:
        """Whether the next request needs no new connection."""
        connection = self._connection
        if connection is None or not connection.is_open or self._aborted:
            return False
        # before the first response, TLS itself may have sent something
        return self._response is None or connection.is_quiet

    def open(self, url: str) -> None:
        """Connect to the host of `url`, if it is not connected. Raises UnreachableError."""
        try:
            self._connected_to(url)[0].open()
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()
            raise _unreachable(error) from None

    def abort(self) -> None:
        """Make a `request` that waits in another thread fail at once."""
        self._aborted = True
        if self._connection is not None:
            self._connection.abort()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._response = None

    def _without_range(self, url: str, headers: dict[str, str]) -> FileResponse:
        self.close()
        del headers["Range"]
        headers.pop("If-Range", None)
        return self._send(url, headers)

    def _send(self, url: str, headers: dict[str, str]) -> FileResponse:
        used = False
        try:
            connection, used = self._connected_to(url)
            self._response = None
            self._response = connection.get(url, headers)
            if used and self._response.status == 408:  # some proxies say so and close
                raise ConnectionError
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()
            if used and not self._aborted:  # the server may have closed it meanwhile
                return self._send(url, headers)
            raise _unreachable(error) from None
        return self._response

    def _connected_to(self, url: str) -> tuple[FileConnection, bool]:
        """A connection to the host of `url`, perhaps not yet made, and whether it was used."""
        parts = urlsplit(url)
        connection, origin = self._connection, (parts.scheme, parts.netloc)
        if connection is not None and connection.is_open and self._origin == origin:
            return connection, True
        self.close()
        self._origin = origin
        self._connection = file_connection(
            url, connect_seconds=_CONNECT_SECONDS, stall_seconds=self._stall_seconds
        )
        return self._connection, False


def _tells_no_length(response: FileResponse) -> bool:
    span = content_span(response.header("Content-Range"))
    return span is not None and span[2] is None


def _range_response(
    response: FileResponse,
    requested_from: int,
    *,
    range_requested: bool,
) -> RangeResponse:
    status = response.status
    is_html = "html" in (response.header("Content-Type") or "").lower()
    etag = strong_etag(response.header("ETag"))
    if status in (200, 206):
        response.require_unencoded("The file in the bucket")
        try:
            body = response.body()
        except http.client.HTTPException as error:
            raise BackendError(
                "The storage sent an invalid answer",
                details=str(error),
                remedy=_BETWEEN,
            ) from None
    if status == 200:
        version = Version(etag, body.length)
        return RangeResponse(
            0, body.length, version, False, range_requested, is_html, body, response
        )
    if status == 206:
        start, end, total = response.span(requested_from, body.length, "The storage")
        return RangeResponse(start, end, Version(etag, total), True, False, is_html, body, response)
    if status == 416:
        raise ChangedError("The file in the bucket has become shorter")
    details = with_retry_after(f"HTTP {status}", response.header("Retry-After"))
    if 300 <= status < 400:
        raise InvalidResponseError(
            "The storage redirects to another address",
            details=details,
            remedy=InterceptedError.default_remedy,
        )
    if 400 <= status < 500 and is_html:
        raise InterceptedError(
            "A proxy or gateway answered instead of the storage", details=details
        )
    status = _actual_status(response)
    if status in (400, 401, 403):
        # an expired link, or one that is always refused: then the attempts are used up
        raise ExpiredLinkError("The signed link was refused", details=details)
    if status in (404, 410):
        raise NotFoundError("The file is missing from the bucket")
    if status == 429 or status >= 500:
        raise BusyError(
            "The storage did not answer",
            details=details,
            retry_after=response.header("Retry-After"),
        )
    raise BackendError("The storage sent an invalid answer", details=details)


def _actual_status(response: FileResponse) -> int:
    """The status of an error response; Storage may write it into the body."""
    if response.status != 400:
        return response.status
    try:
        body = response.body().read_all(_MOST_ERROR_BYTES)
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return 400
    return effective_status_of(response.status, body)


def _unreachable(error: Exception) -> UnreachableError:
    # the error's own text may hold the URL, and with it the token
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedError(
            "The certificate of the storage can't be trusted",
            details=type(error).__name__,
            remedy="check the URL and the clock; for a private CA set SSL_CERT_FILE",
        )
    if isinstance(error, SlowError):
        return InvalidResponseError("The storage sends almost nothing", details=str(error))
    if isinstance(error, BrokenOffError):
        return UnreachableError("The connection ended in the middle of a file")
    if isinstance(error, (EndlessError, MalformedError)):
        return InvalidResponseError(
            "The storage sent an invalid answer", details=str(error), remedy=_BETWEEN
        )
    if isinstance(error, TimeoutError):
        return UnreachableError("The connection to the storage stalled", details="no bytes came")
    return UnreachableError("The connection to the storage failed", details=type(error).__name__)
