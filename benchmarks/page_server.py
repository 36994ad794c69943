"""A backend that answers with prepared pages: a process of its own on the loopback interface.

It is PostgREST as far as the sync asks: the datasets, the models in the order of their change by
keyset, empty tables otherwise, and how many rows there are. An answer costs it next to nothing, so
what a benchmark measures is the client.
"""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import parse_qs, urlsplit

from made_up import PAGE, datasets, model_rows

_AFTER: Final = re.compile(r"id\.gt\.\"?([0-9a-f-]{36})")
_NO_ROW: Final = "00000000-0000-0000-0000-000000000000"


@contextmanager
def serving(rows: int) -> Iterator[str]:
    """The URL of a project with so many models."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(rows, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def bodies(rows: int) -> list[bytes]:
    """The pages of the models, as they are sent."""
    written = [json.dumps(row) for row in model_rows(rows)]
    return [
        f"[{','.join(written[start : start + PAGE])}]".encode() for start in range(0, rows, PAGE)
    ]


def _serve(rows: int, port: Connection) -> None:
    pages = bodies(rows)
    by_id = {_NO_ROW: pages[0]}
    for page, following in zip(pages, [*pages[1:], b"[]"], strict=True):
        by_id[json.loads(page)[-1]["id"]] = following
    first = json.dumps(datasets()).encode()
    totals = {"model_artifacts": rows, "datasets": len(datasets())}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20  # head and body in one packet: else the kernel waits between them

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            table, asked = target.path.rpartition("/")[2], parse_qs(target.query)
            total = totals.get(table, 0)
            after = _AFTER.search(asked.get("or", [""])[0])
            if table == "model_artifacts":
                body = by_id.get(after[1] if after else _NO_ROW, b"[]")
            else:
                body = b"[]" if after or not total else first
            counting = "count=" in self.headers.get("Prefer", "")
            self._answer(b"[]" if counting else body, total)

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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()
