"""One GET at the storage of the GPU worker, only to addresses on the public internet."""

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
    """The answer to a GET from byte `start` on; the connection is closed at the end of the block.

    Raises SourceUnreachableError, what `target_of` raises, and ConfigError for a proxy of a kind
    that can't be used.
    """
    target = target_of(url, allow_private=allow_private, by_proxy=proxy_for(url) is not None)
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
            raise broken(error) from None
        yield response


def broken(error: Exception) -> SourceUnreachableError:
    """The failure of a connection, without the error's own text: that may hold the URL, a key."""
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
    """A URL taken apart, with the addresses that may be connected to."""

    secure: bool
    host: str
    port: int
    request: str = field(repr=False)
    """Path and query; the query is the key to the file."""
    addresses: tuple[str, ...]


def target_of(url: str, *, allow_private: bool, by_proxy: bool = False) -> Target:
    """Resolve a URL and check all that it resolves to.

    Raises RefusedResultError for what is no plain http(s) URL, or leads to an address that is not
    public; SourceUnreachableError where the name does not resolve. With `by_proxy` it need not
    resolve here: then there are no addresses.
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
