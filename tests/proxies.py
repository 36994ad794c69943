"""Proxies on loopback that lead everything to one server, and note what they were asked for."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field

_ORIGIN = re.compile(rb" http://[^/ ]+/")


@dataclass
class Proxy:
    """Leads every request, whatever host it names, to one server."""

    to: int
    tls: ssl.SSLContext | None = None
    login: str | None = None
    """The Basic credentials that it demands."""
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
            threading.Thread(target=self._greet, args=(client,), daemon=True).start()

    def _greet(self, client: socket.socket) -> None:
        try:
            self._lead(self.tls.wrap_socket(client, server_side=True) if self.tls else client)
        except OSError:
            client.close()

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
        if self.login is not None and self.login not in self.credentials:
            client.sendall(b"HTTP/1.1 407 Login needed\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self.to))
        if line.startswith(b"CONNECT"):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(_ORIGIN.sub(b" /", head, count=1))
        _relay(client, server)


@dataclass
class SocksProxy(Proxy):
    """The same by SOCKS 5, told by RFC 1928 and 1929."""

    def _lead(self, client: socket.socket) -> None:
        methods = client.recv(2 + 255)
        if self.login is None:
            client.sendall(b"\x05\x00")
        elif 2 not in methods[2:]:
            client.sendall(b"\x05\xff")
            return
        else:
            client.sendall(b"\x05\x02")
            told = client.recv(513)
            user, password = told[2 : 2 + told[1]], told[3 + told[1] :]
            right = f"{user.decode()}:{password.decode()}" == self.login
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        request = client.recv(262)
        assert request[:4] == b"\x05\x01\x00\x03", "a name, which the proxy resolves"
        name, port = request[5 : 5 + request[4]], request[5 + request[4] :]
        self.asked.append(f"{name.decode()}:{int.from_bytes(port)}")
        server = socket.create_connection(("127.0.0.1", self.to))
        client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        _relay(client, server)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Bytes both ways until either side ends; one thread, because TLS bears no second one."""
    other = {client: server, server: client}
    with client, server:
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            for source in [client] if pending else select.select([client, server], [], [])[0]:
                data = source.recv(65_536)
                if not data:
                    return
                other[source].sendall(data)
