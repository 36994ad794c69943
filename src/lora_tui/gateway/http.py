"""The one HTTP client: TLS, proxies, time-outs, failures turned into errors.

Responses are small (rows, links), so each is read completely, up to a limit, before it is returned:
a response that breaks off counts as a failed attempt and is retried.
"""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import httpx
from httpx_retries import Retry, RetryTransport

from lora_tui import __version__
from lora_tui.errors import (
    BackendError,
    LoraTuiError,
    QueryTimeoutError,
    TooLargeAnswerError,
    UnreachableError,
)
from lora_tui.gateway.environment import httpx_proxy, tls_context
from lora_tui.gateway.limited_transport import LimitedTransport
from lora_tui.gateway.responses import TokenRefusal, error_of, require_encoding, token_refusal
from lora_tui.gateway.retry import RETRY, TOTAL_SECONDS, RetryPolicy, causes_of
from lora_tui.gateway.upload_body import UploadTransport
from lora_tui.gateway.vendor import current_exchange
from lora_tui.json_values import json_text
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe, without_secrets

TIMEOUT: Final = httpx.Timeout(connect=10.0, read=20.0, write=30.0, pool=30.0)
"""Seconds of silence in each phase."""
_CONNECTIONS: Final = httpx.Limits(max_connections=100, keepalive_expiry=15.0)
"""An unused connection is kept for so many seconds: longer than the pause between two reads of a
running job's points, shorter than what servers and routers keep."""
REPEATABLE: Final[Mapping[str, Any]] = {"repeatable": True}
"""`extensions` of a POST that is safe to repeat (sign, list): it is retried like a GET."""

RENEWABLE: Final = "renewable"
"""The extension of a request whose sender renews the session after a refusal."""
UNAUTHORIZED_REPEATS: Final = 2
"""How often a request of any method is repeated after a 401: the server has done nothing yet, and
a single refusal may be a fault of the platform."""

MOST_RESPONSE_BYTES: Final = 64 << 20
"""The limit of a response; a page of a thousand rows has two to twenty megabytes."""
_MOST_ERROR_BYTES: Final = 256 << 10
"""The limit of an error response; the rest is not read."""
_CODINGS: Final = ("gzip", "deflate")
_SLOWEST_RATE: Final = 256
_SLOW_AFTER_SECONDS: Final = 60.0
"""A response is given up if it is slower than `_SLOWEST_RATE` (bytes/s) after this many seconds."""
_QUOTED: Final = re.compile(r"b['\"]")
"""A bytes literal in the text of an error."""
_log: Final = logging.getLogger("lora_tui.gateway")

# These log whole URLs, and a signed URL is a secret. `_Client` logs requests without it.
for _name in ("httpx", "httpcore", "httpx_retries"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def build_client(
    base_url: str,
    *,
    auth: httpx.Auth | None = None,
    headers: Mapping[str, str] | None = None,
    retry: RetryPolicy = RETRY,
    timeout: httpx.Timeout = TIMEOUT,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client for one host: TLS verified, proxies and CA files from the environment.

    Redirects are never followed, so a key never travels to another host. Every failure of the
    transport is raised as UnreachableError; statuses are left to `check`. `transport` replaces
    the network. `auth` decides on the headers last, whatever the sender has put into them.
    """
    network = transport or UploadTransport(
        base_url,
        LimitedTransport(verify=tls_context(), proxy=httpx_proxy(base_url), limits=_CONNECTIONS),
    )
    retries = _Retries(_WholeResponses(network), retry)
    return _Client(
        base_url=base_url,
        headers={
            "User-Agent": f"lora-tui/{__version__}",
            "Accept-Encoding": ", ".join(_CODINGS),
            **(headers or {}),
        },
        timeout=timeout,
        follow_redirects=False,
        transport=retries if auth is None else _Authorised(retries, auth),
    )


class BearerAuth(httpx.Auth):
    """Authorises by a key that goes to this client's host alone."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx."""
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class ClientOwner:
    """A part of a service that is reached over one client. Close it, or use it in `with`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


@contextmanager
def open_stream(
    url: str,
    headers: Mapping[str, str],
    *,
    body: object = None,
    timeout: httpx.Timeout = TIMEOUT,
    retry: RetryPolicy = RETRY,
    any_rate: bool = False,
) -> Iterator[httpx.Response]:
    """The response to a GET, or to a POST of `body` as JSON, whose body the caller reads.

    Attempts are repeated until the headers have arrived, those of a POST never; failures of the
    body are not retried. `any_rate`: the body may come slowly, as an answer that is being written.
    """
    network = LimitedTransport(any_rate=any_rate, verify=tls_context(), proxy=httpx_proxy(url))
    headers = {"User-Agent": f"lora-tui/{__version__}", **headers}
    with httpx.Client(
        transport=RetryTransport(transport=network, retry=retry), timeout=timeout
    ) as client:
        request = client.build_request("GET", url, headers=headers)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
            request = client.build_request("POST", url, headers=headers, content=json_text(body))
        try:
            response = client.send(request, stream=True)
            try:
                yield response
            finally:
                response.close()
        except httpx.HTTPError as error:
            # `from None`: the URL is a secret, and stays out of the traceback
            raise _unreachable(error, request) from None


class _Client(httpx.Client):
    """httpx's client; raises LoraTuiErrors, and logs requests without secrets."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        start = time.monotonic()
        exchange = current_exchange.get()
        if exchange is not None and exchange.repeatable:
            request.extensions.update(REPEATABLE)
        try:
            response = super().send(request, **options)
        except httpx.HTTPError as error:
            # `from None`: the request holds keys, and stays out of the traceback
            raise _unreachable(error, request) from None
        # this stream makes a reference cycle of response and request body: without it an uploaded
        # piece is freed at once, not at the next garbage collection
        response.stream = httpx.ByteStream(b"")
        _log.debug(
            "%s %s%s %d in %.0f ms",
            request.method,
            request.url.host,
            terminal_safe(request.url.path, limit=300),
            response.status_code,
            (time.monotonic() - start) * 1000,
        )
        return response if exchange is None else exchange.take(response)


class _Authorised(httpx.BaseTransport):
    """Applies an `httpx.Auth` to each request.

    As a transport, because the vendor's clients put a header of their own into their requests, and
    then leave out what the client has as `auth`.
    """

    def __init__(self, transport: httpx.BaseTransport, auth: httpx.Auth) -> None:
        self._transport = transport
        self._auth = auth

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        flow = self._auth.sync_auth_flow(request)
        try:
            request = next(flow)
            while True:
                response = self._transport.handle_request(request)
                try:
                    request = flow.send(response)
                except StopIteration:
                    return response
        finally:
            flow.close()

    def close(self) -> None:
        self._transport.close()


class _Retries(RetryTransport):
    """Applies the policy to one request at a time."""

    def __init__(self, transport: httpx.BaseTransport, retry: RetryPolicy) -> None:
        super().__init__(transport=transport, retry=retry)
        self._policy = retry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        policy: Retry = self._policy
        if request.extensions.get("repeatable"):
            policy = policy.copy_with(allowed_methods=(request.method,))
        assert isinstance(policy, RetryPolicy)
        attempts = policy.until(time.monotonic() + TOTAL_SECONDS)
        while True:
            request.extensions["retry"] = attempts
            response = super().handle_request(request)
            response.request = request
            # the library counts its own attempts
            attempts = response.extensions.get("retry", attempts)
            most = _attempts_allowed(response)
            if attempts.attempts_made >= most or attempts.is_exhausted():
                return response
            attempts = attempts.wait(response)


def _attempts_allowed(response: httpx.Response) -> float:
    """How often a request may be sent again after this response, depending on its body."""
    request = response.request
    if response.status_code == 500 and request.method == "GET":
        # the query would take as long again
        return 0 if isinstance(error_of(response, "ask"), QueryTimeoutError) else math.inf
    if not isinstance(request.stream, httpx.ByteStream):
        return 0  # a streamed body can't be sent again
    refusal = token_refusal(response)
    if refusal is TokenRefusal.FUTURE:
        return math.inf
    if response.status_code != 401:
        return 0
    if refusal is not None and request.extensions.get(RENEWABLE):
        return 0  # the sender renews the session instead
    return UNAUTHORIZED_REPEATS


class _WholeResponses(httpx.BaseTransport):
    """Reads and decompresses the body of each response as part of the attempt."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        try:
            require_encoding(
                response.headers.get("content-encoding"), "The server's answer", allowed=_CODINGS
            )
        except BackendError:
            response.close()
            raise
        body, began = bytearray(), time.monotonic()
        try:
            for piece in response.iter_bytes():
                body += piece
                if not response.is_success and len(body) > _MOST_ERROR_BYTES:
                    break
                if len(body) > MOST_RESPONSE_BYTES:
                    raise TooLargeAnswerError("The server's answer is too large")
                seconds = time.monotonic() - began
                if seconds > _SLOW_AFTER_SECONDS and len(body) < _SLOWEST_RATE * seconds:
                    raise httpx.ReadTimeout("the answer comes too slowly", request=request)
        finally:
            response.close()
        headers = [  # as bytes: a server's own values need not be ASCII
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        extensions = {
            key: value for key, value in response.extensions.items() if key != "network_stream"
        }
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(body), extensions=extensions
        )

    def close(self) -> None:
        self._transport.close()


def _unreachable(error: httpx.HTTPError, request: httpx.Request) -> LoraTuiError:
    host = terminal_safe(request.url.host, limit=100)
    details = type(error).__name__
    # such an error quotes the wrong header, and ours hold keys
    if not isinstance(error, httpx.ProtocolError) or not _QUOTED.search(str(error)):
        details = f"{details}: {without_secrets(error, limit=200)}".rstrip(": ")
    causes = list(causes_of(error))
    if isinstance(error, httpx.DecodingError):
        return BackendError(f"The answer of {host} is damaged", details=details)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return UnreachableError(
            f"The certificate of {host} can't be trusted",
            details=details,
            remedy="check the URL and the clock; for a private CA set SSL_CERT_FILE",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return UnreachableError(f"There is no address for {host}", details=details)
    if isinstance(error, httpx.TimeoutException):
        return UnreachableError(f"{host} does not answer in time", details=details)
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(f"The proxy does not let us reach {host}", details=details)
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(f"{host} can't be reached", details=details)
    return UnreachableError(f"The connection to {host} broke", details=details)
