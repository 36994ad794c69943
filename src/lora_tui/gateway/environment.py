"""The proxies and the CA certificates that the environment names, read as curl reads them."""

from __future__ import annotations

import ipaddress
import os
import ssl
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from lora_tui.config.addresses import is_loopback
from lora_tui.errors import ConfigError
from lora_tui.text import terminal_safe

SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def proxy_for(url: str) -> str | None:
    """The environment's proxy for the host of a URL; None for this machine.

    Reads http_proxy, https_proxy, all_proxy and no_proxy; lower case wins over upper case. Raises
    ConfigError for a proxy of an unsupported kind.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or _excepted(parts):
        return None
    proxies = getproxies()
    name = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(name)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        found = urlsplit(proxy)
        usable = found.scheme in SCHEMES and bool(found.hostname) and (found.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:  # it may hold a password: only its scheme is shown
        kind = terminal_safe(proxy.partition("://")[0], limit=20)
        raise ConfigError(
            f"The proxy that {name}_proxy names can't be used",
            details=f"{kind}://…",
            remedy=f"name an http://, https:// or socks5:// proxy, or put {host} into no_proxy",
        )
    return proxy


def httpx_proxy(url: str) -> httpx.Proxy | None:
    """The same for httpx; the certificate of a TLS proxy is checked like that of any server."""
    proxy = proxy_for(url)
    if proxy is None:
        return None
    secure = proxy.lower().startswith("https:")
    return httpx.Proxy(proxy, ssl_context=tls_context() if secure else None)


@cache
def tls_context() -> ssl.SSLContext:
    """The trusted certificate authorities, as the environment names them.

    CURL_CA_BUNDLE, else SSL_CERT_FILE and SSL_CERT_DIR together, else REQUESTS_CA_BUNDLE; else the
    usual authorities. Read once in a process. Raises ConfigError.
    """
    for names in (("CURL_CA_BUNDLE",), ("SSL_CERT_FILE", "SSL_CERT_DIR"), ("REQUESTS_CA_BUNDLE",)):
        places = {name: place for name in names if (place := os.environ.get(name))}
        if places:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            for name, place in places.items():
                _trust(context, name, place)
            return context
    return httpx.create_ssl_context(trust_env=False)


def _excepted(parts: SplitResult) -> bool:
    """Whether no_proxy names the host or its network, as in 10.0.0.0/8."""
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return True
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return False
    for entry in getproxies().get("no", "").split(","):
        if "/" in entry:
            try:
                if address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
            except ValueError:
                continue
    return False


def _trust(context: ssl.SSLContext, name: str, place: str) -> None:
    directories = place.split(os.pathsep)  # with certificates that are named by their hashes
    try:
        if all(Path(directory).is_dir() for directory in directories):
            context.load_verify_locations(capath=place)
        else:
            context.load_verify_locations(cafile=place)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"The CA certificates that {name} names can't be read",
            details=place,
            remedy=f"correct {name}, or unset it",
        ) from error
