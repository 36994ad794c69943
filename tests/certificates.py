"""Certificates of tests: made for localhost, trusted only where a test says so."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_tui.gateway.environment import tls_context


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody trusts yet, with its key."""
    file = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(file), "-out", str(tmp_path / "public.pem")),
        ],
        check=True,
        capture_output=True,
    )
    with file.open("a") as both:
        both.write((tmp_path / "public.pem").read_text())
    return file


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Has a certificate trusted, as the environment may."""

    def set_file(file: Path) -> None:
        monkeypatch.setenv("CURL_CA_BUNDLE", str(file))  # the first that is looked at
        tls_context.cache_clear()

    tls_context.cache_clear()
    yield set_file
    monkeypatch.undo()
    tls_context.cache_clear()


def server_side(certificate: Path) -> ssl.SSLContext:
    """What a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
