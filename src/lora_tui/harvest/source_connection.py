"""Requests files from the worker's storage, only at public addresses.

The inner loop is `http.client` reading into one buffer (docs/architecture.md, "Decisions"). None of
our keys is sent; the URL itself is a secret and appears in no message.

The name is resolved once for a connection, which is made to the checked address, so a name that
changes its address meanwhile has no effect. Behind a proxy the proxy resolves names; names and
addresses that are private as far as this machine can tell are refused there too.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from lora_tui import __version__
from lora_tui.config.addresses import is_public, is_public_host
from lora_tui.errors import BackendError, ExpiredLinkError, IntegrityError, UnreachableError
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.file_connection import FileConnection, FileResponse, file_connection
from lora_tui.gateway.headers import strong_etag, with_retry_after
from lora_tui.gateway.limits import BrokenOffError, FileBody, SlowError
from lora_tui.harvest.failures import (
    RefusedResultError,
    SourceBusyError,
    SourceGoneError,
    SourceUnreachableError,
)
from lora_tui.text import terminal_safe

TIMEOUT_SECONDS: Final = 30.0
"""Seconds without a single byte."""
_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Answer:
    """A successful response: the bytes of the file from `start` on."""

    body: FileBody
    start: int
    total: int | None
    """Bytes of the whole file; None where unknown."""
    etag: str | None
    """The strong ETag; None where there is none."""
    is_part: bool
    """Whether it is the part that was requested; else it is the whole file."""

    def read(self, buffer: memoryview) -> memoryview:
        """The bytes that have arrived, up to the size of the buffer; empty at the end.

        Raises SourceUnreachableError.
        """
        try:
            return buffer[: self.body.read_some(buffer)]
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            raise connection_error(error) from None


class SourceConnection:
    """One connection at a time. It is used again where the last answer was read to its end.

    Used by one thread, but for `abort`. Close it at the end.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._connection: FileConnection | None = None
        self._origin: tuple[str, str] | None = None
        self._response: FileResponse | None = None
        self._aborted = False

    def open(
        self, url: str, start: int = 0, validator: str | None = None, end: int | None = None
    ) -> Answer:
        """Request the bytes from `start` up to `end` of the version with this ETag.

        Redirects are followed and their addresses checked. Without an ETag the whole file is
        requested. Raises ExpiredLinkError, SourceGoneError, SourceUnreachableError (also
        SourceBusyError), IntegrityError, BackendError, what `resolve_target` raises, and
        ConfigError for an unusable kind of proxy.
        """
        headers = {
            "User-Agent": f"lora-tui/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if validator and (start or end is not None):
            last = "" if end is None else end - 1
            headers |= {"Range": f"bytes={start}-{last}", "If-Range": validator}
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._get(url, headers)
            if response.status not in _REDIRECTS:
                return _answer(response, start)
            url = _redirected(url, response.header("Location") or "")
        raise RefusedResultError("A file's address redirects too many times")

    def abort(self) -> None:
        """Make a call that waits in another thread fail at once; every later one fails too."""
        self._aborted = True
        connection = self._connection
        if connection is not None:
            connection.abort()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._response = self._connection, None, None
        if connection is not None:
            connection.close()

    def _get(self, url: str, headers: dict[str, str]) -> FileResponse:
        parts = urlsplit(url)
        if self._response is None or not self._response.is_read():
            self.close()  # the rest of the response would arrive first
        if self._origin != (parts.scheme, parts.netloc):
            self.close()
        self._response = None
        used = self._connection is not None and self._connection.is_open
        try:
            if self._connection is None:
                target = resolve_target(
                    url, allow_private=self._allow_private, by_proxy=proxy_for(url) is not None
                )
                self._origin = (parts.scheme, parts.netloc)
                self._connection = file_connection(
                    url,
                    connect_seconds=TIMEOUT_SECONDS,
                    stall_seconds=TIMEOUT_SECONDS,
                    addresses=target.addresses,
                )
            if self._aborted:
                raise SourceUnreachableError("The connection to the worker's storage broke off")
            self._response = self._connection.get(url, headers)
        except UnreachableError as error:  # the proxy
            if isinstance(error, SourceUnreachableError):
                raise
            raise SourceUnreachableError(
                str(error), details=error.details, remedy=error.remedy
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if used and not self._aborted:  # the server may have closed it meanwhile
                return self._get(url, headers)
            raise connection_error(error) from None
        return self._response


def _redirected(url: str, location: str) -> str:
    try:
        following = urljoin(url, location)
    except ValueError:
        raise RefusedResultError(
            "A file's address redirects without naming another address"
        ) from None
    if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
        raise RefusedResultError("A file's address redirects from https to an unencrypted address")
    return following


def _answer(response: FileResponse, start: int) -> Answer:
    status = response.status
    etag = strong_etag(response.header("ETag"))
    if status in (200, 206):
        response.require_unencoded("The file at the worker's storage")
        try:
            body = response.body()
        except http.client.HTTPException as error:
            raise BackendError(
                "The worker's storage sent an invalid answer", details=str(error)
            ) from None
    if status == 200:
        if not body.has_certain_end:
            raise BackendError("The worker's storage does not say where the file ends")
        return Answer(body, 0, body.length, etag, is_part=False)
    if status == 206:
        first, _, total = response.span(start, body.length, "The worker's storage")
        if total is None:
            raise BackendError("The worker's storage does not say how long the file is")
        return Answer(body, first, total, etag, is_part=True)
    details = with_retry_after(f"HTTP {status}", response.header("Retry-After"))
    if status == 416:
        raise changed_error()
    if status in (400, 401, 403):
        raise ExpiredLinkError("The worker's storage refuses a file's URL", details=details)
    if status in (404, 410):
        raise SourceGoneError("A file is no longer in the worker's storage", details=details)
    if status in (408, 425, 429) or status >= 500:
        raise SourceBusyError(
            "The worker's storage fails",
            details=details,
            retry_after=response.header("Retry-After"),
        )
    raise BackendError("The worker's storage sent an invalid answer", details=details)


def connection_error(error: Exception) -> SourceUnreachableError:
    """The error of a connection, without its text, which may hold the secret URL."""
    if isinstance(error, SlowError):
        return SourceUnreachableError(
            "The worker's storage sends almost nothing", details=str(error)
        )
    if isinstance(error, BrokenOffError):
        return SourceUnreachableError("The connection to the worker's storage broke off")
    return SourceUnreachableError(
        "The connection to the worker's storage failed", details=type(error).__name__
    )


def changed_error() -> IntegrityError:
    """The error where an answer is not of the version that the spool holds."""
    return IntegrityError(
        "A file changed while it was fetched from the worker's storage",
        remedy="nothing to do: the next cycle begins this file anew",
    )


_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """A parsed URL with its checked addresses."""

    host: str
    addresses: tuple[str, ...]


def resolve_target(url: str, *, allow_private: bool, by_proxy: bool = False) -> Target:
    """Resolve a URL and check its addresses.

    Raises RefusedResultError for anything but a plain http(s) URL of a public address, and
    SourceUnreachableError where the name does not resolve. With `by_proxy` the name need not
    resolve on this machine; there are no addresses then.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        odd = bool(parts.username or parts.password)
    except (KeyError, ValueError):
        host, port, odd = "", 0, True
    if odd or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise RefusedResultError("The GPU worker names a file without a usable address")
    private = RefusedResultError(
        "The GPU worker names a file at a private address",
        details=terminal_safe(host, limit=120),
        remedy="if that is meant, set allow_private_urls = true in the profile",
    )
    if not allow_private and not is_public_host(host):
        raise private
    try:
        addresses = resolve(host, port)
    except SourceUnreachableError:
        if not by_proxy:
            raise
        addresses = []
    if not allow_private and not all(map(is_public, addresses)):
        raise private
    return Target(host, tuple(addresses))


def resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceUnreachableError(
            "There is no address for the host of a file", details=terminal_safe(host, limit=120)
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
