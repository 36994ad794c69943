"""Proxies and private authorities are taken from the environment, as curl takes them."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import ConfigError, UnreachableError
from lora_tui.gateway.environment import proxy_for, tls_context
from lora_tui.gateway.http import build_client
from tests.proxies import Proxy, SocksProxy
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


def server_context(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    return context


@pytest.fixture
def secure(authority: Path) -> Iterator[FileServer]:
    server = FileServer(Behaviour(content=made_up(500_000)), tls=server_context(authority))
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


def test_directories_of_authorities_are_trusted_beside_a_file(
    secure: FileServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    shutil.copy(authority / "ca.pem", hashed / "ca.pem")
    subprocess.run(["openssl", "rehash", hashed], check=True, capture_output=True)
    other = tmp_path / "other.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=other", "-keyout", tmp_path / "key"),
            *("-out", other),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'empty'}{os.pathsep}{hashed}")
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


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_speaks_tls_itself_leads_to_either_kind_of_server(
    secure: FileServer,
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    plain = FileServer(Behaviour(content=secure.behaviour.content))
    server = secure if scheme == "https" else plain
    server.behaviour.drop = lambda: 200_000 if server.drops < 1 else None
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    proxy = Proxy(server.port, tls=server_context(authority))
    monkeypatch.setenv(f"{scheme}_proxy", f"https://me:secret@127.0.0.1:{proxy.port}")
    world = World(tmp_path / "world", server)
    world.download(**through(server))
    assert world.target.read_bytes() == server.behaviour.content
    assert proxy.asked[0].startswith(f"CONNECT {HOST}:443" if scheme == "https" else "GET http:")
    assert proxy.credentials[0] == f"Basic {base64.b64encode(b'me:secret').decode()}"
    proxy.close()
    plain.close()


def test_the_certificate_of_a_proxy_is_checked_like_any_other(
    secure: FileServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(secure.port, tls=server_context(authority))
    monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{proxy.port}")
    with pytest.raises(UnreachableError, match="certificate"):
        World(tmp_path / "world", secure).download(**through(secure))
    assert proxy.asked == []
    proxy.close()


@pytest.mark.parametrize("login", [None, "me:s@cret"])
@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
def test_a_socks_proxy_is_asked_for_the_host_by_its_name(
    secure: FileServer,
    authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    login: str | None,
    variable: str,
) -> None:
    proxy = SocksProxy(secure.port, login=login)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    user = "me:s%40cret@" if login else ""
    monkeypatch.setenv(variable, f"socks5h://{user}127.0.0.1:{proxy.port}")
    world = World(tmp_path / "world", secure)
    world.download(**through(secure))
    assert world.target.read_bytes() == secure.behaviour.content
    assert set(proxy.asked) == {f"{HOST}:443"}
    proxy.close()


@pytest.mark.parametrize(("kind", "scheme"), [(Proxy, "http"), (SocksProxy, "socks5")])
def test_a_login_that_the_proxy_refuses_is_reported_at_once(
    secure: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Proxy],
    scheme: str,
) -> None:
    proxy = kind(secure.port, login="me:right")
    monkeypatch.setenv("https_proxy", f"{scheme}://me:wrong@127.0.0.1:{proxy.port}")
    world = World(tmp_path / "world", secure)
    with pytest.raises(UnreachableError, match="proxy") as caught:
        world.download(**through(secure))
    assert world.row().attempts == 0
    assert "wrong" not in f"{caught.value} {caught.value.details} {caught.value.remedy}"
    proxy.close()


@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1", "ftp://me:secret@x", "http://[", "a:b"])
def test_a_proxy_of_another_kind_is_a_configuration_error_without_its_password(
    secure: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(ConfigError, match="all_proxy") as caught:
        World(tmp_path / "world", secure).download(**through(secure))
    with pytest.raises(ConfigError, match="all_proxy"):
        build_client(f"https://{HOST}")
    assert "secret" not in f"{caught.value} {caught.value.details} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [("10.0.0.0/8", False), ("other, 10.1.0.0/16 ", False), ("11.0.0.0/8", True), ("10.1", True)],
)
def test_no_proxy_may_give_networks(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, proxied: bool
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_for("https://10.1.2.3:8443/x") is not None) is proxied


@pytest.mark.parametrize(("kind", "scheme"), [(Proxy, "https"), (SocksProxy, "socks5")])
def test_the_rest_of_the_backend_is_reached_by_the_same_proxy(
    secure: FileServer,
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Proxy],
    scheme: str,
) -> None:
    tls = server_context(authority) if scheme == "https" else None
    proxy = kind(secure.port, tls=tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    monkeypatch.setenv("https_proxy", f"{scheme}://127.0.0.1:{proxy.port}")
    with build_client(f"https://{HOST}") as client:
        assert client.get("/file").content == secure.behaviour.content
    assert proxy.asked
    proxy.close()
