"""A transport of httpx that limits the size of response heads and slow responses."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpcore
import httpx
from socksio.exceptions import SOCKSError

from lora_tui.gateway.limits import EndlessError, ReceiveRate, SlowError

_END_OF_HEAD: Final = "http11.receive_response_headers.complete"


class LimitedTransport(httpx.HTTPTransport):
    """httpx's transport with the limits of limits.py."""

    def __init__(self, *, any_rate: bool = False, **options: Any) -> None:
        """`any_rate`: bodies may come slowly; the limits on heads stay."""
        super().__init__(**options)
        # httpx has no parameter for it; tests/gateway/test_hostile.py checks that it works
        self._backend = _Backend(self._pool._network_backend, any_rate)
        self._pool._network_backend = self._backend

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": _trace}
        try:
            return super().handle_request(request)
        except SOCKSError as error:  # httpx does not translate it
            raise httpx.ProxyError("the SOCKS proxy sent an invalid answer") from error

    @property
    def latest_socket(self) -> socket.socket | None:
        """The socket of the newest connection, for a shutdown from another thread."""
        stream = self._backend.latest
        found = stream.get_extra_info("socket") if stream is not None else None
        return found if isinstance(found, socket.socket) else None


_here: Final = threading.local()
"""The rate of the response that this thread reads: httpx reads in the calling thread."""


def _trace(name: str, _info: Mapping[str, Any]) -> None:
    pace = getattr(_here, "pace", None)
    if name == _END_OF_HEAD and pace is not None:
        pace.end_of_head()


class _Backend(httpcore.NetworkBackend):
    """Makes the connections, and remembers the newest."""

    def __init__(self, backend: httpcore.NetworkBackend, any_rate: bool) -> None:
        self._backend = backend
        self.any_rate = any_rate
        self.latest: _Stream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    """One connection, above TLS: it measures plain bytes."""

    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend
        backend.latest = self
        self._pace = ReceiveRate(any_rate=backend.any_rate)
        self._read_since = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        _here.pace = self._pace
        self._read_since = True
        began = time.monotonic()
        data = self._stream.read(max_bytes, timeout)
        try:
            self._pace.add(len(data), time.monotonic() - began)
        except SlowError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except EndlessError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._read_since:  # a new request, so a new response
            self._pace = ReceiveRate(any_rate=self._backend.any_rate)
            self._read_since = False
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
