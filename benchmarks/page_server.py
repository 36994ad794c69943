"""A backend that answers with prepared pages: a process of its own on the loopback interface.

It is PostgREST as far as the sync asks: datasets, notifications, the models in the order of their
change by keyset, empty tables otherwise, and how many rows there are; it signs every link, and
takes every change. An answer costs it next to nothing, so what a benchmark measures is the client.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice
from multiprocessing.connection import Connection
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from lora_tui.processes import yield_to_others
from made_up import PAGE, datasets, model_rows

Row = dict[str, Any]
_AFTER: Final = re.compile(r"id\.gt\.\"?([0-9a-f-]{36})")
PRIORITY: Final = 10
"""Of the servers of a project (`nice`): in the world they have processors of their own, and here
they must not take one from the application that is measured."""
_NO_ROW: Final = "00000000-0000-0000-0000-000000000000"


@contextmanager
def serving(
    rows: int, *, first: Sequence[Row] = (), notifications: Sequence[Row] = ()
) -> Iterator[str]:
    """The URL of a project with so many models, and those of `first`, which are read before."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=_serve, args=(rows, first, notifications, theirs), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
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


def _serve(rows: int, first: Sequence[Row], notifications: Sequence[Row], port: Connection) -> None:
    pages = bodies(rows, first)
    by_id = {_NO_ROW: pages[0]}
    for page, following in zip(pages, [*pages[1:], b"[]"], strict=True):
        by_id[json.loads(page)[-1]["id"]] = following
    small = {"datasets": datasets(), "notifications": notifications}
    whole = {table: json.dumps(list(found)).encode() for table, found in small.items()}
    totals = {table: len(found) for table, found in small.items()}
    totals["model_artifacts"] = rows + len(first)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20  # head and body in one packet: else the kernel waits between them

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            table, asked = target.path.rpartition("/")[2], parse_qs(target.query)
            after = _AFTER.search(asked.get("or", [""])[0])
            if "count=" in self.headers.get("Prefer", ""):
                body = b"[]"
            elif table == "model_artifacts":
                body = by_id.get(after[1] if after else _NO_ROW, b"[]")
            else:
                body = b"[]" if after else whole.get(table, b"[]")
            self._answer(body, totals.get(table, 0))

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

    os.setsid()
    yield_to_others(PRIORITY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()
