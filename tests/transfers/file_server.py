"""A file over HTTP that misbehaves on demand, and a queue that downloads from it."""

from __future__ import annotations

import random
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lora_tui.cache import transfer_queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import get_model, put_models
from lora_tui.cache.transfer_queue import Transfer
from lora_tui.domain import Model
from lora_tui.processes import LockHolder
from lora_tui.transfers.download import DownloadResult, download
from lora_tui.transfers.runner import Runner, RunnerOptions

MODEL = "00000000-0000-4000-8000-000000000001"
NAME = "weights.bin"
_PIECE = 8192


@dataclass
class Behaviour:
    """What the server does. Change it at any time; each answer looks anew at every piece."""

    content: bytes = b""
    etag: str | None = '"one"'
    ignore_range: bool = False
    drop: Callable[[], int | None] = lambda: None
    """Bytes after which this answer's connection is cut; None for none."""
    rate: float | None = None
    """Bytes a second of each connection."""
    hold_at: int | None = None
    """Bytes, of all answers together, after which nothing is sent while this is set."""
    stall_after: Callable[[], int | None] = lambda: None
    """Bytes after which this answer says nothing more."""
    token_bytes: int | None = None
    """How many bytes a signed link is good for; then `refusal`."""
    refusal: int = 400
    on_sent: Callable[[int], None] = lambda _sent: None
    """Told the bytes sent in all, after every piece."""
    announced: int | None = None
    """A total that is not the true one."""
    close_after: bool = False
    """Whether the connection ends after each answer, which does not say so."""
    trailing: bytes = b""
    """Bytes after the answer that belong to none."""
    shift: int = 0
    """By how many bytes the part that is sent begins later than the part that was asked for."""


@dataclass
class FileServer:
    """Serves one file under any path, to any number of connections."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    tls: ssl.SSLContext | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    drops: int = 0
    signed: int = 0
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def sign(self, _path: str = "") -> str:
        """A new signed link."""
        with self._lock:
            self.signed += 1
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/file?token=t{self.signed}"

    def sign_many(self, paths: Sequence[str]) -> dict[str, str]:
        """New signed links, made by one request."""
        link = self.sign()
        return {path: link.replace("/file?", f"/{path}?") for path in paths}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spend(self, token: str, count: int) -> bool:
        """Whether the link is still good after so many more bytes."""
        limit = self.behaviour.token_bytes
        with self._lock:
            self._spent[token] = self._spent.get(token, 0) + count
            return limit is None or self._spent[token] <= limit

    def spent(self, token: str) -> int:
        """Bytes that the link was used for."""
        return self._spent.get(token, 0)

    def note(self, *, connected: int = 0, opened: int = 0, sent: int = 0, dropped: int = 0) -> None:
        with self._lock:
            self.connections += connected
            self.open_now += opened
            self.most_open = max(self.most_open, self.open_now)
            self.sent += sent
            self.drops += dropped
        if sent:
            self.behaviour.on_sent(self.sent)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what these tests are about."""


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def setup(self) -> None:
            super().setup()
            server.note(connected=1)

        def do_GET(self) -> None:
            server.note(opened=1)
            try:
                self._answer()
            finally:
                server.note(opened=-1)

        def _answer(self) -> None:
            how = server.behaviour
            content, etag = how.content, how.etag
            token = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
            server.requests.append(
                {"path": self.path, "token": token, **dict(self.headers.items())}
            )
            if not server.spend(token, 0) or server.spent(token) == how.token_bytes:
                self._refuse(how.refusal)
                return
            start, end = 0, len(content)
            total = len(content) if how.announced is None else how.announced
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            ranged = bool(match) and not how.ignore_range and condition in (None, etag)
            if match and ranged:
                start = int(match[1]) + (how.shift if int(match[1]) else 0)
                end = min(int(match[2]) + 1, end) if match[2] else end
                if start >= len(content):
                    self._refuse(416)
                    return
            self.send_response(206 if ranged else 200)
            if ranged:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
            length = end - start if ranged or how.announced is None else how.announced
            self.send_header("Content-Length", str(length))
            if etag is not None:
                self.send_header("ETag", etag)
            self.end_headers()
            self._send(content[start:end], token)
            if how.close_after:
                self.close_connection = True
            if how.announced is not None:
                self.close_connection = True

        def _send(self, body: bytes, token: str) -> None:
            how = server.behaviour
            drop, stall = how.drop(), how.stall_after()
            began = time.monotonic()
            at = 0
            while at < len(body):
                piece = body[at : at + _PIECE]
                if drop is not None and at + len(piece) > drop:
                    piece = body[at : max(at, drop)]
                if stall is not None and at >= stall:
                    self.rfile.read(1)  # until the client gives up
                    self.close_connection = True
                    return
                while how.hold_at is not None and server.sent >= how.hold_at:
                    if select.select([self.connection], [], [], 0.005)[0]:  # the client left
                        self.close_connection = True
                        return
                good = server.spend(token, len(piece))
                if piece and good:
                    last = at + len(piece) >= len(body)
                    self.wfile.write(piece + how.trailing if last else piece)
                    server.note(sent=len(piece))
                at += len(piece)
                if not good or (drop is not None and at >= drop):
                    server.note(dropped=1)
                    self._cut()
                    return
                if how.rate is not None:
                    time.sleep(max(0.0, began + at / how.rate - time.monotonic()))

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _cut(self) -> None:
            """End the connection, now and then as rudely as a dying router does."""
            self.close_connection = True
            if server.drops % 2:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    return Handler


@dataclass
class World:
    """A cache with one model whose only file lies on the server, and a place for it."""

    home: Path
    server: FileServer
    sha256: str | None = None
    size: int | None = None
    name: str = NAME
    model_id: str = MODEL
    more: Sequence[str] = ()
    """Other files of the model."""
    place: Path | None = None
    """Where they are put, if not in a directory of this world's own."""

    def __post_init__(self) -> None:
        self.put_model()

    def put_model(self, updated_at: str = "2026-11-20T10:00:00+00:00") -> None:
        """What a sync would write of the model."""
        facts = {"size": self.size, "sha256": self.sha256}
        row = {
            "id": self.model_id,
            "user_id": MODEL,
            "name": "Model",
            "created_at": "2026-11-20T10:00:00+00:00",
            "updated_at": updated_at,
            "artifacts": {name: f"a/b/{name}" for name in (self.name, *self.more)},
            "configuration": {"files": {self.name: facts}},
        }
        with self.cache() as db, transaction(db, Topic.MODELS):
            put_models(db, [row])

    @property
    def cache_path(self) -> Path:
        return self.home / "cache.sqlite3"

    @property
    def directory(self) -> Path:
        return self.place or self.home / "downloads"

    @property
    def target(self) -> Path:
        return self.directory / self.name

    @contextmanager
    def cache(self) -> Iterator[Any]:
        with closing(open_cache(self.cache_path)) as db:
            yield db

    def model(self) -> Model:
        with self.cache() as db:
            model = get_model(db, self.model_id)
        assert model is not None
        return model

    def tools(self, **changes: Any) -> RunnerOptions:
        return RunnerOptions(**{"sign": self.server.sign, "delay": no_delay, **changes})

    def download(
        self,
        *,
        force: bool = False,
        names: Sequence[str] | None = None,
        on_change: Callable[[Transfer], None] | None = None,
        on_held: Callable[[Transfer, LockHolder], None] | None = None,
        **tools: Any,
    ) -> DownloadResult:
        """Download with a runner of its own, in this thread."""
        runner = Runner(self.cache_path, self.tools(**tools))
        try:
            return download(
                runner,
                self.model(),
                self.directory,
                names,
                force=force,
                on_change=on_change,
                on_held=on_held,
            )
        finally:
            runner.close()

    def row(self) -> Transfer:
        with self.cache() as db:
            (row,) = transfer_queue.transfers_of(db, self.model_id)
        return row


def no_delay(attempt: int, _retry_after: str | None) -> float | None:
    """Five tries in a row without a byte, at once."""
    return 0.0 if attempt < 5 else None


def made_up(size: int, seed: int = 1) -> bytes:
    """Bytes without a pattern, the same ones for the same seed."""
    return random.Random(seed).randbytes(size)


def leftovers(directory: Path) -> Sequence[str]:
    """What an unfinished download leaves behind."""
    return sorted(path.name for path in directory.glob("*.part*"))
