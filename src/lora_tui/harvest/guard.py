"""Where a file may be fetched from: the worker's answer must not lead us into our own network.

The name is resolved once, and the connection is made to the address that was checked: a name that
resolves to another address a moment later changes nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from lora_tui.config.addresses import is_public, is_public_host
from lora_tui.harvest.failures import RefusedResultError, SourceUnreachableError
from lora_tui.text import terminal_safe

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
        addresses = _resolve(host, port)
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


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceUnreachableError(
            "There is no address for the host of a file", details=terminal_safe(host, limit=120)
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
