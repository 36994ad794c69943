"""The way to a host by a proxy: CONNECT or SOCKS 5, to a proxy that itself may speak TLS.

httpx knows all of this for API calls; this is for the hot loops that use `http.client`.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from lora_tui.errors import UnreachableError
from lora_tui.gateway.nested_tls import NestedTls
from lora_tui.gateway.tls import tls_context
from lora_tui.gateway.wire import HEAD_SECONDS

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_LARGEST_HEAD: Final = 64 << 10


class ProxyRefusedError(UnreachableError):
    """The proxy does not let us pass; a second try would not change that."""


def is_socks(proxy: str) -> bool:
    """Whether all that goes by this proxy goes through a tunnel."""
    return proxy.lower().startswith("socks")


def to_proxy(proxy: str, timeout: float) -> socket.socket:
    """A connection to the proxy itself. Raises OSError."""
    parts = urlsplit(proxy)
    host = parts.hostname or ""
    sock = socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return (
        tls_context().wrap_socket(sock, server_hostname=host) if parts.scheme == "https" else sock
    )


def tunnel(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    """A connection to `host` through the proxy, which resolves its name.

    Raises OSError, ProxyRefusedError, UnreachableError.
    """
    sock = to_proxy(proxy, timeout)
    try:
        if is_socks(proxy):
            _socks(sock, urlsplit(proxy), host, port)
        else:
            _connect(sock, proxy, host, port)
    except BaseException:
        sock.close()
        raise
    return sock


def secured(sock: socket.socket, host: str) -> ssl.SSLSocket | NestedTls:
    """Speak TLS to `host` over this connection. Raises OSError."""
    if isinstance(sock, ssl.SSLSocket):
        return NestedTls(sock, tls_context(), host)
    return tls_context().wrap_socket(sock, server_hostname=host)


def credentials(proxy: str) -> dict[str, str]:
    """The header that an HTTP proxy wants, where the environment gives a login."""
    user, password = _login(urlsplit(proxy))
    if user is None:
        return {}
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {pair}"}


def _connect(sock: socket.socket, proxy: str, host: str, port: int) -> None:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {"Host": place, **credentials(proxy)}
    lines = [f"CONNECT {place} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    head, until = b"", time.monotonic() + HEAD_SECONDS
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(sock, 1)  # not one byte of what comes through the tunnel
        if len(head) > _LARGEST_HEAD or time.monotonic() > until:
            raise UnreachableError("The proxy sent an invalid answer")
    status = head.split(b" ", 2)[1:2]
    code = int(status[0]) if status and re.fullmatch(rb"\d{3}", status[0]) else 0
    if 200 <= code < 300:
        return
    if code == 407:
        raise ProxyRefusedError(
            "The proxy asks for a login",
            details=f"HTTP {code}",
            remedy="put it into the proxy's URL: http://user:password@host:port",
        )
    kind = ProxyRefusedError if 400 <= code < 500 else UnreachableError
    raise kind("The proxy does not let us reach the storage", details=f"HTTP {code}")


def _socks(sock: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    from socksio import ProtocolError, socks5

    user, password = _login(proxy)
    method = (
        socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED
        if user is None
        else socks5.SOCKS5AuthMethod.USERNAME_PASSWORD
    )
    talk = socks5.SOCKS5Connection()
    try:
        talk.send(socks5.SOCKS5AuthMethodsRequest([method]))
        sock.sendall(talk.data_to_send())
        answer = talk.receive_data(_exactly(sock, 2))
        assert isinstance(answer, socks5.SOCKS5AuthReply)
        if answer.method != method:
            raise ProxyRefusedError("The SOCKS proxy does not accept this kind of login")
        if user is not None:
            talk.send(socks5.SOCKS5UsernamePasswordRequest(user.encode(), password.encode()))
            sock.sendall(talk.data_to_send())
            answer = talk.receive_data(_exactly(sock, 2))
            assert isinstance(answer, socks5.SOCKS5UsernamePasswordReply)
            if not answer.success:
                raise ProxyRefusedError("The SOCKS proxy does not accept the login")
        command = socks5.SOCKS5Command.CONNECT
        talk.send(socks5.SOCKS5CommandRequest.from_address(command, (host, port)))
        sock.sendall(talk.data_to_send())
        head = _exactly(sock, 4)
        length = {1: 4, 4: 16}.get(head[3])
        if length is None:
            head += _exactly(sock, 1)
            length = head[4]
        reply = talk.receive_data(head + _exactly(sock, length + 2))
        assert isinstance(reply, socks5.SOCKS5Reply)
    except (ProtocolError, ValueError) as error:
        raise UnreachableError("The SOCKS proxy sent an invalid answer") from error
    if reply.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
        refused = reply.reply_code == socks5.SOCKS5ReplyCode.CONNECTION_NOT_ALLOWED_BY_RULESET
        kind = ProxyRefusedError if refused else UnreachableError
        raise kind("The proxy does not let us reach the storage", details=reply.reply_code.name)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionResetError("the proxy hung up")
        data += more
    return data


def _login(proxy: SplitResult) -> tuple[str | None, str]:
    if proxy.username is None:
        return None, ""
    return unquote(proxy.username), unquote(proxy.password or "")
