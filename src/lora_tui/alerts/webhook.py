"""Sends an alert to a webhook. Its URL is a secret: it is in no message and no log."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from typing import Final

import httpx
from httpx_retries import RetryTransport

from lora_tui import __version__
from lora_tui.errors import BackendError, ConfigError, UnreachableError
from lora_tui.gateway.environment import httpx_proxy, proxy_for, tls_context
from lora_tui.gateway.headers import retry_seconds
from lora_tui.gateway.limited_transport import LimitedTransport
from lora_tui.gateway.retry import RETRY, causes_of
from lora_tui.harvest.failures import RefusedResultError, SourceUnreachableError
from lora_tui.harvest.source_connection import resolve_target
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe

_UNREACHABLE: Final = "check alert_url and the network, then try `lora-tui alerts test`"
TIMEOUT: Final = httpx.Timeout(connect=10.0, read=20.0, write=20.0, pool=20.0)
_log: Final = logging.getLogger("lora_tui.alerts")


class WebhookRefusedError(BackendError):
    """The webhook answers that it does not take this alert."""


class WebhookBusyError(UnreachableError):
    """The webhook takes no alert now."""

    retry_after = 0.0
    """Seconds for which it asks."""


def post(url: Secret, body: bytes, *, allow_private: bool) -> None:
    """Send a body to a webhook; repeated by the one policy, as its event id allows.

    Raises ConfigError for an address that is private or no URL, UnreachableError,
    WebhookBusyError, WebhookRefusedError.
    """
    address = url.reveal()
    host, addresses = _checked(address, allow_private=allow_private)
    policy = RETRY.copy_with(allowed_methods=("POST",))
    network = LimitedTransport(verify=tls_context(), proxy=httpx_proxy(address))
    headers = {"Content-Type": "application/json", "User-Agent": f"lora-tui/{__version__}"}
    with httpx.Client(
        transport=RetryTransport(transport=_Pinned(network, addresses), retry=policy),
        timeout=TIMEOUT,
        follow_redirects=False,
    ) as client:
        request = client.build_request("POST", address, content=body, headers=headers)
        try:
            response = client.send(request, stream=True)  # the body is of no interest
            response.close()
        except httpx.HTTPError as error:
            untrusted = any(isinstance(e, ssl.SSLCertVerificationError) for e in causes_of(error))
            if untrusted:
                raise UnreachableError(
                    f"The certificate of {host} can't be trusted",
                    remedy="check alert_url and the clock; for a private CA set SSL_CERT_FILE",
                ) from None
            # `from None`: the URL is a secret, and stays out of the traceback
            raise UnreachableError(
                f"The webhook at {host} can't be reached",
                details=type(error).__name__,
                remedy=_UNREACHABLE,
            ) from None
    _log.debug("POST %s %d", host, response.status_code)
    _check(response, host)


class _Pinned(httpx.BaseTransport):
    """Connects to the addresses that were checked: the name could have others by now."""

    def __init__(self, network: httpx.BaseTransport, addresses: Sequence[str]) -> None:
        """`addresses`: one after the other until one answers; a proxy resolves the name itself."""
        self._network, self._addresses = network, addresses

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, name = request.url, request.url.host
        try:
            for number, address in enumerate(self._addresses, 1):
                request.url = url.copy_with(host=address)
                request.extensions["sni_hostname"] = name  # whose certificate it must be
                try:
                    return self._network.handle_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if number == len(self._addresses):
                        raise
        finally:
            request.url = url
        return self._network.handle_request(request)

    def close(self) -> None:
        self._network.close()


def _checked(url: str, *, allow_private: bool) -> tuple[str, Sequence[str]]:
    """The host, safe to show, and the addresses to connect to; none behind a proxy."""
    by_proxy = proxy_for(url) is not None
    try:
        target = resolve_target(url, allow_private=allow_private, by_proxy=by_proxy)
    except RefusedResultError as error:
        if not error.details:
            raise ConfigError(
                "alert_url is not a URL", remedy="write it like this: https://host/path"
            ) from None
        raise ConfigError(
            "The webhook is at a private address",
            details=error.details,
            remedy="if that is meant, set allow_private_urls = true in the profile",
        ) from None
    except SourceUnreachableError as error:
        raise UnreachableError(
            "There is no address for the host of the webhook",
            details=error.details,
            remedy=_UNREACHABLE,
        ) from None
    return terminal_safe(target.host, limit=100), () if by_proxy else target.addresses


def _check(response: httpx.Response, host: str) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    details, remedy = f"HTTP {status}", "`lora-tui alerts test` tries it again"
    if status in RETRY.status_forcelist:
        busy = WebhookBusyError(
            f"The webhook at {host} takes no alert now", details=details, remedy=remedy
        )
        busy.retry_after = retry_seconds(response.headers.get("Retry-After")) or 0.0
        raise busy
    if 300 <= status < 400:
        remedy = "configure the address that it redirects to: a redirect is never followed"
    elif status in (401, 403, 404, 410):
        remedy = "the webhook may have been removed: make a new one, and set alert_url"
    raise WebhookRefusedError(
        f"The webhook at {host} refuses the alert", details=details, remedy=remedy
    )
