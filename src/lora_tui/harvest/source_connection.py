"""One GET at the storage of the GPU worker, only to public addresses.

The name is resolved once and the connection is made to the checked address, so a name that changes
its address meanwhile has no effect. Behind a proxy the proxy resolves names; names and addresses
that are private as far as this machine can tell are refused there too.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from lora_tui import __version__
from lora_tui.config.addresses import is_public, is_public_host
from lora_tui.errors import UnreachableError
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.file_connection import FileResponse, file_connection
from lora_tui.gateway.limits import BrokenOffError, SlowError
from lora_tui.harvest.failures import RefusedResultError, SourceUnreachableError
from lora_tui.text import terminal_safe

TIMEOUT_SECONDS: Final = 30.0
"""Seconds without a single byte."""


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

    secure: bool
    host: str
    port: int
    request: str = field(repr=False)
    """Path and query; the query is secret."""
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
    path = parts.path or "/"
    return Target(
        secure=parts.scheme == "https",
        host=host,
        port=port,
        request=f"{path}?{parts.query}" if parts.query else path,
        addresses=tuple(addresses),
    )


def resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceUnreachableError(
            "There is no address for the host of a file", details=terminal_safe(host, limit=120)
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
