"""Proxies and private authorities are taken from the environment, as curl takes them."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import ConfigError, UnreachableError
from lora_tui.gateway.http import tls_context
from tests.transfers.file_server import Behaviour, FileServer, World, made_up

HOST = "storage.invalid"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy and no authority of this machine."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@dataclass
class Proxy:
    """Leads every request, whatever host it names, to one server."""

    to: int
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        line, *headers = head.split(b"\r\n")
        self.asked.append(line.decode())
        for header in headers:
            name, _, value = header.partition(b": ")
            if name.lower() == b"proxy-authorization":
                self.credentials.append(value.decode())
        server = socket.create_connection(("127.0.0.1", self.to))
        if line.startswith(b"CONNECT"):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(head.replace(f"http://{HOST}".encode(), b"", 1))
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the made-up host and this machine, and its key."""
    directory = tmp_path_factory.mktemp("authority")
    assert shutil.which("openssl"), "openssl is needed; on Debian: apt-get install openssl"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", directory / "key.pem"),
            *("-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1", "-out", directory / "ca.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture
def secure(authority: Path) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    server = FileServer(Behaviour(content=made_up(500_000)), tls=context)
    yield server
    server.close()


@pytest.fixture
def proxy(secure: FileServer) -> Iterator[Proxy]:
    proxy = Proxy(secure.port)
    yield proxy
    proxy.close()


def through(server: FileServer, **changes: Any) -> Any:
    scheme = "https" if server.tls else "http"
    return {"sign": lambda _path: f"{scheme}://{HOST}/file?token=t", **changes}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_private_authority_is_trusted_where_the_environment_names_it(
    secure: FileServer,
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(authority / "ca.pem"))
    world = World(tmp_path / "world", secure)
    world.download()
    assert world.target.read_bytes() == secure.behaviour.content


def test_an_unknown_authority_is_refused_at_once(secure: FileServer, tmp_path: Path) -> None:
    world = World(tmp_path / "world", secure)
    with pytest.raises(UnreachableError, match="certificate"):
        world.download()
    assert world.row().attempts == 0
    assert not world.target.exists()


def test_a_named_authority_that_can_not_be_read_is_a_configuration_error(
    secure: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        World(tmp_path / "world", secure).download()


def test_https_goes_through_the_tunnel_of_the_proxy(
    secure: FileServer,
    proxy: Proxy,
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:s%40cret@127.0.0.1:{proxy.port}")
    world = World(tmp_path / "world", secure)
    world.download(**through(secure))
    assert world.target.read_bytes() == secure.behaviour.content
    assert proxy.asked[0].startswith(f"CONNECT {HOST}:443")
    assert proxy.credentials[0] == f"Basic {base64.b64encode(b'me:s@cret').decode()}"
    assert "token" not in "".join(proxy.asked)


def test_a_host_in_no_proxy_is_reached_directly(
    secure: FileServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", HOST)
    with pytest.raises(UnreachableError):
        World(tmp_path / "world", secure).download(
            **through(secure, delay=lambda _attempt, _after: None)
        )
    assert proxy.asked == []


def test_plain_http_is_asked_of_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = FileServer(Behaviour(content=made_up(300_000)))
    proxy = Proxy(server.port)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    world = World(tmp_path / "world", server)
    world.download(**through(server))
    assert world.target.read_bytes() == server.behaviour.content
    assert proxy.asked[0].startswith(f"GET http://{HOST}/file")
    proxy.close()
    server.close()
