"""Which authorities are trusted, as the environment says."""

from __future__ import annotations

import os
import ssl
from functools import cache
from pathlib import Path

import httpx

from lora_tui.errors import ConfigError


@cache
def tls_context() -> ssl.SSLContext:
    """Whom to trust: the CA file or directories that the environment names, as curl reads it.

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


def _trust(context: ssl.SSLContext, name: str, place: str) -> None:
    directories = place.split(os.pathsep)  # of certificates under their hashes
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
