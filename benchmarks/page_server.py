"""A backend that answers with prepared rows: a process of its own on the loopback interface.

It is PostgREST as far as the sync asks: pages of a table by keyset, the newest rows, rows by id,
and how many there are; it signs every link, and takes every change. An answer costs it next to
nothing, so what a benchmark measures is the client.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import ssl
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from lora_tui.processes import yield_to_others
from made_up import PAGE, datasets, model_rows

Row = dict[str, Any]
_AFTER: Final = re.compile(r'\w+\.gt\."([^"]*)",and\(\w+\.eq\."[^"]*",id\.gt\."([^"]*)"')
_STAMPS: Final = (
    *("id", "updated_at", "created_at", "recorded_at", "read", "amount", "deleted_at"),
)
PRIORITY: Final = 10
"""Of the servers of a project (`nice`): in the world they have processors of their own, and here
they must not take one from the application that is measured."""


@contextmanager
def serving(
    rows: int,
    *,
    first: Sequence[Row] = (),
    notifications: Sequence[Row] = (),
    others: Mapping[str, Sequence[Row]] | None = None,
    certificate: Path | None = None,
) -> Iterator[str]:
    """The URL of a project with so many models, and those of `first`.

    `others`: rows of more tables. `certificate`: a directory with `ca.pem` and `key.pem`: HTTPS.
    """
    tables = {"datasets": datasets(), "notifications": notifications, **(others or {})}
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=_serve, args=(rows, first, tables, certificate, theirs), daemon=True
    )
    process.start()
    theirs.close()  # so that a server that can't start is noticed
    try:
        scheme = "https" if certificate else "http"
        yield f"{scheme}://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def bodies(rows: int, first: Sequence[Row] = ()) -> list[bytes]:
    """The pages of the models, as they are sent."""
    models = chain(first, model_rows(rows))
    written = []
    while page := list(islice(models, PAGE)):
        written.append(json.dumps(page).encode())
    return written


class Table:
    """The rows of a table in the order of their change, as they are sent: whole, and stamps."""

    def __init__(self, rows: Iterable[Row], key: str) -> None:
        ordered = sorted(rows, key=lambda row: (row[key], row["id"]))
        self._places = [(row[key], row["id"]) for row in ordered]
        self._whole = [json.dumps(row).encode() for row in ordered]
        self._stamps = [
            json.dumps({name: row[name] for name in _STAMPS if name in row}).encode()
            for row in ordered
        ]
        self._number = {row["id"]: number for number, row in enumerate(ordered)}

    def answer(self, asked: Mapping[str, list[str]]) -> tuple[bytes, int]:
        """The body, and how many rows match."""
        sent = self._whole if asked.get("select", ["*"])[0] == "*" else self._stamps
        limit = min(int(asked.get("limit", [str(PAGE)])[0]), PAGE)
        if ids := asked.get("id", [""])[0].removeprefix("in."):
            wanted = [self._number[i] for i in ids.strip("()").split(",") if i in self._number]
            return _list(sent[number] for number in wanted[:limit]), len(wanted)
        if ".desc" in asked.get("order", [""])[0]:
            return _list(reversed(sent[-limit:])), len(sent)
        after = _AFTER.search(asked.get("or", [""])[0])
        start = bisect_right(self._places, (after[1], after[2])) if after else 0
        return _list(sent[start : start + limit]), len(sent) - start


def _list(rows: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def _serve(
    rows: int,
    first: Sequence[Row],
    others: Mapping[str, Sequence[Row]],
    certificate: Path | None,
    port: Connection,
) -> None:
    keys = {"notifications": "created_at", "cost_records": "recorded_at"}
    tables = {
        name: Table(found, keys.get(name, "updated_at"))
        for name, found in others.items()
        if name != "metrics_points"
    }
    tables["model_artifacts"] = Table(chain(first, model_rows(rows)), "updated_at")
    points: dict[str, list[Row]] = {}
    for row in others.get("metrics_points", ()):
        points.setdefault(row["job_id"], []).append(row)
    curves = {job: Table(found, "timestamp") for job, found in points.items()}
    nothing = Table((), "updated_at")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20  # head and body in one packet: else the kernel waits between them

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            name, asked = target.path.rpartition("/")[2], parse_qs(target.query)
            table = tables.get(name, nothing)
            if name == "metrics_points":
                table = curves.get(asked.get("job_id", [""])[0].removeprefix("eq."), nothing)
                asked = {**asked, "select": ["*"]}
            self._answer(*table.answer(asked))

        def do_POST(self) -> None:
            """A link to an object: the front answers every link with the same file."""
            self._drop_body()
            name = self.path.rpartition("/")[2]
            self._answer(json.dumps({"signedURL": f"/object/sign/b/{name}?token=t"}).encode(), 0)

        def do_PATCH(self) -> None:
            """A change of one row that succeeds, and is not kept."""
            self._drop_body()
            self._answer(b'[{"id": "1"}]', 1)

        def _drop_body(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self, body: bytes, total: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Range", f"*/{total}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that a client has closed."""

    os.setsid()
    yield_to_others(PRIORITY)
    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
        # each connection's own thread shakes hands, with its first read
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    port.send(server.server_address[1])
    server.serve_forever()
