"""One GET at the worker's storage: to an address that was checked, or by way of the proxy.

Behind a proxy it is the proxy that resolves names and connects: what it may reach is its business.
Names and addresses that are private as far as this machine can tell are refused there, too.
"""

from __future__ import annotations

import http.client
import socket
from typing import Final

from lora_tui import __version__
from lora_tui.errors import UnreachableError
from lora_tui.gateway.proxies import proxy_for
from lora_tui.gateway.route import credentials, is_socks, secured, to_proxy, tunnel
from lora_tui.gateway.wire import BrokenOffError, Response, SlowError
from lora_tui.harvest.failures import SourceUnreachableError
from lora_tui.harvest.guard import Target, target_of

_TIMEOUT: Final = 30.0
"""Seconds without a single byte."""


def connect(url: str, *, allow_private: bool) -> Connection:
    """A connection for this URL; nothing is sent yet.

    Raises what `target_of` raises, and ConfigError for a proxy of a kind that can't be used.
    """
    proxy = proxy_for(url)
    target = target_of(url, allow_private=allow_private, by_proxy=proxy is not None)
    return Connection(target, proxy)


class Connection(http.client.HTTPConnection):
    """Connects to an address that was checked, whatever the name resolves to by now."""

    response_class = Response

    def __init__(self, target: Target, proxy: str | None = None) -> None:
        super().__init__(target.host, target.port, timeout=_TIMEOUT)
        if target.secure:
            self.default_port = 443  # so that the Host header goes without it
        self._target = target
        self._proxy = proxy
        # a plain request is handed to an HTTP proxy; everything else goes through a tunnel
        self._handed_over = proxy is not None and not target.secure and not is_socks(proxy)

    def connect(self) -> None:
        """Called by `get`."""
        if self._proxy is None:
            self.sock = self._connect_directly()
        elif self._handed_over:
            self.sock = to_proxy(self._proxy, _TIMEOUT)
        else:
            self.sock = tunnel(self._proxy, self.host, self.port, _TIMEOUT)
        if self._target.secure:
            self.sock = secured(self.sock, self._target.host)

    def get(self, start: int, validator: str | None) -> http.client.HTTPResponse:
        """The answer to a GET from byte `start` on. Raises SourceUnreachableError."""
        headers = {
            "User-Agent": f"lora-tui/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if start and validator:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        request = self._target.request
        if self._handed_over and self._proxy is not None:
            host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
            request = f"http://{host}:{self._target.port}{request}"
            headers |= credentials(self._proxy)
        try:
            self.request("GET", request, headers=headers)
            return self.getresponse()
        except UnreachableError as error:  # the proxy
            raise SourceUnreachableError(
                str(error), details=error.details, remedy=error.remedy
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise broken(error) from None

    def _connect_directly(self) -> socket.socket:
        failure: OSError = OSError("no address")
        for address in self._target.addresses:
            try:
                return socket.create_connection((address, self.port), self.timeout)
            except OSError as error:
                failure = error
        raise failure


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
