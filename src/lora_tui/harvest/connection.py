"""One GET at the worker's storage: to an address that was checked, or by way of the proxy.

Behind a proxy it is the proxy that resolves names and connects: what it may reach is its business.
Names and addresses that are private as far as this machine can tell are refused there, too.
"""

from __future__ import annotations

import base64
import http.client
import socket
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from lora_tui import __version__
from lora_tui.errors import ConfigError
from lora_tui.gateway.http import proxy_for, tls_context
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
    if proxy is None:
        return Connection(target)
    parts = urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"A proxy of the kind {parts.scheme}:// can't be used for the worker's files",
            remedy="set https_proxy to an http:// proxy, or no_proxy for the host",
        )
    return Connection(target, parts)


class Connection(http.client.HTTPConnection):
    """Connects to an address that was checked, whatever the name resolves to by now."""

    def __init__(self, target: Target, proxy: SplitResult | None = None) -> None:
        if proxy is None:
            super().__init__(target.host, target.port, timeout=_TIMEOUT)
        else:
            super().__init__(proxy.hostname or "", proxy.port or 80, timeout=_TIMEOUT)
        if target.secure:
            self.default_port = 443  # so that the Host header goes without it
        self._target = target
        self._credentials = _credentials(proxy)
        self._proxied = proxy is not None
        if self._proxied and target.secure:
            self.set_tunnel(target.host, target.port, headers=self._credentials)

    def connect(self) -> None:
        """Called by `get`."""
        if self._proxied:
            super().connect()
        else:
            self.sock = self._connect_directly()
        if self._target.secure:
            self.sock = tls_context().wrap_socket(self.sock, server_hostname=self._target.host)

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
        if self._proxied and not self._target.secure:
            host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
            request = f"http://{host}:{self._target.port}{request}"
            headers |= self._credentials
        try:
            self.request("GET", request, headers=headers)
            return self.getresponse()
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
    return SourceUnreachableError(
        "The connection to the worker's storage failed", details=type(error).__name__
    )


def _credentials(proxy: SplitResult | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
