"""A proxy to a sandbox that stops, refuses and sends wrong answers, always on the same port."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

NO_FAULT: Final = "no fault"
STOPPED: Final = "stopped"
FAULTS: Final = (
    STOPPED,
    "401",
    "PGRST303",
    "500",
    "HTML",
    "slow",
    "cut",
    "wrong rows",
    "repeated pages",
)
_DROPPED_HEADERS: Final = frozenset({"content-length", "transfer-encoding", "connection", "host"})
_LONGEST_DELAY: Final = 8.0
_ODD: Final = (None, 5, -1, 1e308, 2**63, True, [], {}, "", "\x1b[2J", [1, {"a": None}], "0000-00")
_HTML: Final = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"
_ERRORS: Final = {
    "401": (401, {"code": "PGRST301", "message": "JWT expired", "details": None, "hint": None}),
    "PGRST303": (
        401,
        {"code": "PGRST303", "message": "JWT issued at future", "details": None, "hint": None},
    ),
    "500": (500, {"code": "XX000", "message": "could not fork", "details": None, "hint": None}),
}


class Answer(NamedTuple):
    """What goes back to the application."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class FaultyBackend:
    """Passes requests on to `url`, and answers with the current `fault`."""

    def __init__(self, url: str, seed: int) -> None:
        parts = urlsplit(url)
        self.host, self.port_behind = str(parts.hostname), int(parts.port or 80)
        self.chance = random.Random(seed)
        self.fault = NO_FAULT
        self.requests: Counter[str] = Counter()
        """Fault → the number of requests during it."""
        self.pages: dict[str, Answer] = {}
        """The first page of each table, for the fault "repeated pages"."""
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self._listen()

    @property
    def url(self) -> str:
        """The application's backend."""
        return f"http://127.0.0.1:{self.port}"

    def switch_to(self, fault: str) -> None:
        """Switch to a fault or to NO_FAULT; a stopped backend listens on its old port again."""
        self.fault = fault
        if fault == STOPPED:
            self.stop()
        elif self._server is None:
            self._listen()

    def stop(self) -> None:
        """Refuse new connections and drop the open ones."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        with self._lock:
            open_ones, self._connections = list(self._connections), set()
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def note(self, connection: socket.socket, *, is_open: bool) -> None:
        """A connection has begun or ended."""
        with self._lock:
            (self._connections.add if is_open else self._connections.discard)(connection)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer, changed by the current fault."""
        fault = self.fault
        self.requests[fault] += 1
        table = path.partition("?")[0]
        is_rows = method == "GET" and table.startswith("/rest/v1/")
        if fault == "slow":
            time.sleep(self.chance.uniform(0, _LONGEST_DELAY))
        if fault in _ERRORS and (fault == "500" or not table.startswith("/auth/")):
            status, document = _ERRORS[fault]
            return Answer(
                status, [("Content-Type", "application/json")], json.dumps(document).encode()
            )
        if fault == "HTML":
            status = self.chance.choice((200, 400, 403, 404, 502))
            return Answer(status, [("Content-Type", "text/html")], _HTML)
        if fault == "repeated pages" and is_rows and table in self.pages:
            return self.pages[table]
        true = self._ask(method, path, headers, body)
        if is_rows and true.status < 300:
            self.pages.setdefault(table, true)
            if fault == "wrong rows":
                return true._replace(body=self._wrong(true.body))
        return true

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port_behind, timeout=30)
        try:
            connection.request(method, path, body=body or None, headers=headers)
            response = connection.getresponse()
            kept = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in _DROPPED_HEADERS
            ]
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()

    def _wrong(self, body: bytes) -> bytes:
        """The rows with odd values, but with their ids and times, which a sync needs."""
        try:
            rows = json.loads(body)
        except ValueError:
            return body
        if not isinstance(rows, list):
            return body
        if self.chance.random() < 0.3:
            return json.dumps(self.chance.choice(_ODD)).encode()
        return json.dumps([self._odd_row(row) for row in rows]).encode()

    def _odd_row(self, row: Any) -> Any:
        if not isinstance(row, dict) or self.chance.random() < 0.7:
            return row
        names = [name for name in row if name != "id" and not name.endswith(("_id", "_at"))]
        return {**row, **{n: self.chance.choice(_ODD) for n in names if self.chance.random() < 0.4}}

    def _listen(self) -> None:
        backend = self

        class Handler(_Handler):
            owner = backend

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    """One connection of the application."""

    owner: FaultyBackend
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.owner.note(self.connection, is_open=True)

    def finish(self) -> None:
        self.owner.note(self.connection, is_open=False)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError, http.client.HTTPException):  # either side has gone
            super().handle()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _DROPPED_HEADERS
        }
        answer = self.owner.answer(self.command, self.path, headers, body)
        content = answer.body
        is_cut = self.owner.fault == "cut" and len(content) > 1
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut or self.owner.fault == STOPPED:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - http.server's
