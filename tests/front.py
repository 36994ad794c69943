"""What stands before a backend: leads requests to it, rewrites answers, or gives its own."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

HTML = b"<!doctype html><html><title>Sign in to the network</title></html>"


@dataclass
class Rule:
    """What is answered to requests whose path begins so."""

    path: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    times: int
    method: str


@dataclass
class Front:
    """A server on loopback, before another one."""

    to: str
    rules: list[Rule] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request that a rule answered."""
    rewrite: Callable[[str, bytes], bytes] | None = None
    """Makes of the backend's answer to a path another one."""

    def __enter__(self) -> Self:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                length = int(self.headers.get("Content-Length") or 0)
                front.answer(self, self.rfile.read(length))

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def say(
        self,
        path: str,
        status: int,
        body: bytes | Mapping[str, Any] = HTML,
        *,
        times: int = 10**9,
        method: str = "",
        **headers: str,
    ) -> None:
        """Answer requests whose path begins so in place of the backend."""
        kind = "text/html"
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        headers = {"Content-Type": kind} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.rules.append(Rule(path, status, body, headers, times, method))

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        for rule in self.rules:
            fits = handler.path.startswith(rule.path) and rule.method in ("", handler.command)
            if fits and rule.times > 0:
                rule.times -= 1
                self.asked.append((handler.command, handler.path))
                _send(handler, rule.status, dict(rule.headers), rule.body)
                return
        parts = urlsplit(self.to)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            connection.request(handler.command, handler.path, body, dict(handler.headers))
            answer = connection.getresponse()
            content = answer.read()
            if self.rewrite is not None:
                content = self.rewrite(handler.path, content)
            headers = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")
            }
            _send(handler, answer.status, headers, content)
        finally:
            connection.close()


def _send(
    handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    handler.send_response_only(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
