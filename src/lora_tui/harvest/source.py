"""Downloads the files of a job from the worker's storage, only from public addresses.

The inner loop is `http.client` reading into one buffer (docs/architecture.md, "Decisions"). None of
our keys is sent; the URL itself is a secret and appears in no message.

The name is resolved once and the connection is made to the checked address, so a name that changes
its address meanwhile has no effect. Behind a proxy the proxy resolves names; names and addresses
that are private as far as this machine can tell are refused there too.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from lora_tui import __version__, formats
from lora_tui.config.addresses import is_public, is_public_host
from lora_tui.errors import BackendError, ExpiredLinkError, IntegrityError, UnreachableError
from lora_tui.filenames import safe_file_name
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.file_connection import FileResponse, file_connection
from lora_tui.gateway.gpu import Worker, WorkerResult
from lora_tui.gateway.headers import strong_etag, with_retry_after
from lora_tui.gateway.limits import BrokenOffError, FileBody, SlowError
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.artifact_rows import stored_name
from lora_tui.harvest.failures import (
    RefusedResultError,
    SourceBusyError,
    SourceForbiddenError,
    SourceGoneError,
    SourceUnreachableError,
)
from lora_tui.harvest.spool import Spool
from lora_tui.text import terminal_safe

MOST_FILES: Final = 100
MOST_BYTES: Final = 5 * 1024**3
"""Of one file; the bucket takes no more."""

_NO_NAMES_ON_SOME_DISKS: Final = re.compile(r'[<>:"|?*]')
"""Characters that are replaced in a file's name in the bucket or on a user's disk."""
_BUFFER: Final = 1 << 20
_MOST_REDIRECTS: Final = 3
_PROGRESS: Final = 64 * 1024
"""Bytes after which the attempts are counted from zero again."""
TIMEOUT_SECONDS: Final = 30.0
"""Seconds without a single byte."""


class SourceFiles:
    """The files of one job; for a refused URL the worker is asked once again."""

    def __init__(
        self, worker: Worker, external_job_id: str, *, allow_private_urls: bool = False
    ) -> None:
        """Ask the worker. Raises what `Worker.result` raises, and RefusedResultError."""
        self._worker = worker
        self._external_job_id = external_job_id
        self._allow_private_urls = allow_private_urls
        self._renewed: set[str] = set()
        self._urls = checked_files(worker.result(external_job_id))

    @property
    def names(self) -> tuple[str, ...]:
        """In the order that the worker gives them."""
        return tuple(self._urls)

    def check(self) -> None:
        """Raises RefusedResultError where one of the files is at an address that is not public."""
        for url in self._urls.values():
            resolve_target(
                url, allow_private=self._allow_private_urls, by_proxy=proxy_for(url) is not None
            )

    def download(self, name: str, spool: Spool) -> None:
        """Download one file into the spool, resuming after a broken connection.

        Raises SourceGoneError, SourceForbiddenError, RefusedResultError, SourceUnreachableError,
        IntegrityError, DiskError, what `Worker.result` raises where a URL has expired, and
        SpoolClosedError.
        """
        download = _Download(spool, allow_private_urls=self._allow_private_urls)
        attempts = RETRY
        while True:
            url, before = self._urls[name], spool.length
            try:
                download.attempt(url)
            except ExpiredLinkError:
                self._renew(name)
            except SourceUnreachableError as error:
                if spool.length - before >= _PROGRESS:
                    attempts = RETRY
                spool.require_open()
                if attempts.is_exhausted():
                    raise
                attempts = attempts.wait(_retry_hint(error))
                spool.require_open()
            else:
                spool.finish()
                return

    def _renew(self, name: str) -> None:
        if name in self._renewed:
            raise SourceForbiddenError(
                "The worker's storage refuses a file, with a new URL as well",
                details=terminal_safe(name, limit=120),
            )
        self._renewed.add(name)
        urls = checked_files(self._worker.result(self._external_job_id))
        if urls.keys() != self._urls.keys():
            raise IntegrityError(
                "The GPU worker names other files than before",
                remedy="nothing to do: the next cycle begins this job anew",
            )
        self._urls = urls


def checked_files(result: WorkerResult) -> dict[str, str]:
    """File name → URL. Raises RefusedResultError.

    Names are keys of the artifact's files: an unsafe one is refused, never changed.
    """
    if len(result.files) > MOST_FILES:
        raise RefusedResultError(
            "The GPU worker names more files than a model can have",
            details=f"{len(result.files)}, the limit is {MOST_FILES}",
        )
    for name in result.files:
        plain = _NO_NAMES_ON_SOME_DISKS.sub("_", name)
        if not plain or safe_file_name(plain) != plain:
            raise RefusedResultError(
                "The GPU worker names a file by a name that can't be stored",
                details=terminal_safe(name, limit=120) or None,
            )
    if len({stored_name(name) for name in result.files}) < len(result.files):
        raise RefusedResultError("The GPU worker names two files by names that can't be told apart")
    return dict(result.files)


@contextmanager
def get_file(
    url: str, start: int, validator: str | None, *, allow_private: bool
) -> Iterator[FileResponse]:
    """The response to a GET from byte `start` on; the connection closes at the end of the block.

    Raises SourceUnreachableError, what `resolve_target` raises, and ConfigError for an unusable
    kind of proxy.
    """
    target = resolve_target(url, allow_private=allow_private, by_proxy=proxy_for(url) is not None)
    headers = {
        "User-Agent": f"lora-tui/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with closing(
        file_connection(
            url,
            connect_seconds=TIMEOUT_SECONDS,
            stall_seconds=TIMEOUT_SECONDS,
            addresses=target.addresses,
        )
    ) as connection:
        try:
            response = connection.get(url, headers)
        except UnreachableError as error:  # the proxy
            raise SourceUnreachableError(
                str(error), details=error.details, remedy=error.remedy
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise connection_error(error) from None
        yield response


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


class _Download:
    """The download of one file over several connections."""

    def __init__(self, spool: Spool, *, allow_private_urls: bool) -> None:
        self._spool = spool
        self._allow_private_urls = allow_private_urls
        self._known = False
        self._validator: str | None = None
        self._buffer = memoryview(bytearray(_BUFFER))

    def attempt(self, url: str) -> None:
        """Fetch the missing bytes over one connection."""
        have = self._spool.length
        # without a strong ETag a range may be of another version: read all again
        start = have if self._validator else 0
        with _open_response(url, start, self._validator, self._allow_private_urls) as answer:
            body, first, total = _read_head(answer, start)
            self._validator, before = strong_etag(answer.header("ETag")), self._validator
            self._announce(total)
            if first < have:
                self._skip(body, have - first)
            elif have and self._validator != before:
                raise _changed_error()
            while piece := _read(body, self._buffer):
                self._check_length(self._spool.length + len(piece))
                self._spool.append(piece)
        if total is not None and self._spool.length < total:
            raise SourceUnreachableError("The connection to the worker's storage broke off")

    def _announce(self, total: int | None) -> None:
        if self._known:
            if total != self._spool.total:
                raise _changed_error()
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

    def _skip(self, body: FileBody, length: int) -> None:
        """Read the bytes that we have already and compare them."""
        digest = hashlib.sha256()
        while length:
            piece = _read(body, self._buffer[:length])
            if not piece:
                raise SourceUnreachableError("The connection to the worker's storage broke off")
            digest.update(piece)
            length -= len(piece)
        if digest.hexdigest() != self._spool.sha256():
            raise _changed_error()


@contextmanager
def _open_response(
    url: str, start: int, validator: str | None, allow_private: bool
) -> Iterator[FileResponse]:
    """The response to one GET; redirects are followed and their addresses checked."""
    for _ in range(_MOST_REDIRECTS + 1):
        with get_file(url, start, validator, allow_private=allow_private) as answer:
            if answer.status not in (301, 302, 303, 307, 308):
                yield answer
                return
            location = answer.header("Location") or ""
        try:
            following = urljoin(url, location)
        except ValueError:
            raise RefusedResultError(
                "A file's address redirects without naming another address"
            ) from None
        if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
            raise RefusedResultError(
                "A file's address redirects from https to an unencrypted address"
            )
        url = following
    raise RefusedResultError("A file's address redirects too many times")


def _read_head(answer: FileResponse, start: int) -> tuple[FileBody, int, int | None]:
    """The body, its offset in the file, and the size of the file (None where unknown)."""
    status = answer.status
    if status in (200, 206):
        answer.require_unencoded("The file at the worker's storage")
        try:
            body = answer.body()
        except http.client.HTTPException as error:
            raise BackendError(
                "The worker's storage sent an invalid answer", details=str(error)
            ) from None
    if status == 200:
        if not body.has_certain_end:
            raise BackendError("The worker's storage does not say where the file ends")
        return body, 0, body.length
    if status == 206:
        first, _, total = answer.span(start, body.length, "The worker's storage")
        if total is None:
            raise BackendError("The worker's storage does not say how long the file is")
        return body, first, total
    details = with_retry_after(f"HTTP {status}", answer.header("Retry-After"))
    if status == 416:
        raise _changed_error()
    if status in (400, 401, 403):
        raise ExpiredLinkError("The worker's storage refuses a file's URL", details=details)
    if status in (404, 410):
        raise SourceGoneError("A file is no longer in the worker's storage", details=details)
    if status in (408, 425, 429) or status >= 500:
        raise SourceBusyError(
            "The worker's storage fails",
            details=details,
            retry_after=answer.header("Retry-After"),
        )
    raise BackendError("The worker's storage sent an invalid answer", details=details)


def _read(body: FileBody, buffer: memoryview) -> memoryview:
    """The bytes that have arrived, up to the size of the buffer; empty at the end."""
    try:
        return buffer[: body.read_some(buffer)]
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise connection_error(error) from None


def _retry_hint(error: SourceUnreachableError) -> httpx.Response | SourceUnreachableError:
    """The error for the retry policy, with its Retry-After."""
    if isinstance(error, SourceBusyError) and error.retry_after:
        return httpx.Response(503, headers={"Retry-After": error.retry_after})
    return error


def _changed_error() -> IntegrityError:
    return IntegrityError(
        "A file changed while it was fetched from the worker's storage",
        remedy="nothing to do: the next cycle begins this file anew",
    )
