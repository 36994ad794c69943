"""A PostgREST server with selectable faults, for the requests of a sync."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from lora_tui.gateway.rest import Rest

USER: Final = "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71"
TIMED_OUT: Final = {"code": "57014", "message": "canceling statement due to statement timeout"}
_BEYOND: Final = re.compile(
    r'\((?P<key>\w+)\.gt\."(?P<at>[^"]*)",and\(\w+\.eq\."[^"]*",id\.gt\."(?P<id>[^"]*)"\)\)'
)
_EARLIER: Final = re.compile(
    r'\(\w+\.lt\."(?P<at>[^"]*)",and\(\w+\.eq\."[^"]*",id\.lt\."(?P<id>[^"]*)"\)\)'
)
_WINDOW: Final = re.compile(
    r'job_id\.(?:eq\.([\w-]+)|in\.\(([\w,-]+)\))(?:,timestamp\.gte\."([^"]*)"\))?'
)

Row = dict[str, Any]


class FaultyProject:
    """Tables of dictionaries. A column `stored` is what a row is really ordered by; never sent."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Any]] = {}
        self.max_rows = 1000
        self.asked: list[str] = []
        self.repeats = False
        """Whatever is asked for, the first page of the table comes."""
        self.unordered = False
        self.total: Callable[[int, int], str] = lambda _sent, all_there: str(all_there)
        """What Content-Range says, of the rows sent and of those that there are."""
        self.refused: Callable[[str, dict[str, str]], tuple[int, Any] | None] = (
            lambda _table, _query: None
        )
        """A status and a body in the place of rows."""
        self.sent: Callable[[str, list[Row]], Any] = lambda _table, rows: rows
        """What becomes of a page of rows, or the very bytes that are sent."""

    def answer(self, path: str, prefer: str) -> tuple[int, dict[str, str], bytes]:
        """The answer to a GET."""
        target = urlsplit(path)
        table = target.path.rpartition("/")[2]
        query = {name: values[-1] for name, values in parse_qs(target.query).items()}
        query["count"] = prefer
        self.asked.append(f"{table}?{target.query}")
        refused = self.refused(table, query)
        if refused is not None:
            return refused[0], {}, json.dumps(refused[1]).encode()
        rows = self._chosen(table, query)
        limit = min(int(query.get("limit", "1000")), self.max_rows)
        body = self.sent(table, [self._columns(row, query) for row in rows[:limit]])
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        total = self.total(len(rows[:limit]), len(rows)) if "count" in prefer else "*"
        return 200, {"Content-Range": f"0-{len(rows[:limit])}/{total}"}, content

    def _chosen(self, table: str, query: dict[str, str]) -> list[Row]:
        rows = self.tables.get(table, [])
        if self.repeats:
            return rows
        if query.get("job_id", "").startswith("in."):
            wanted = query["job_id"][4:-1].split(",")
            rows = [row for row in rows if _get(row, "job_id") in wanted]
        if query.get("timestamp", "").startswith("gte."):
            rows = [row for row in rows if str(_get(row, "timestamp")) >= query["timestamp"][4:]]
        windows = _WINDOW.findall(query.get("or", ""))
        if windows:
            rows = [row for row in rows if any(_is_within(row, window) for window in windows)]
        for column in ("job_id", "user_id"):
            if query.get(column, "").startswith("eq."):
                value = query[column].removeprefix("eq.")
                rows = [row for row in rows if _get(row, column, value) == value]
        if query.get("deleted_at") == "is.null":
            rows = [row for row in rows if _get(row, "deleted_at") is None]
        if query.get("id", "").startswith("in."):
            wanted = query["id"][4:-1].split(",")
            rows = [row for row in rows if _get(row, "id") in wanted]
        if query.get("id", "").startswith("gt."):
            rows = [row for row in rows if str(_get(row, "id")) > query["id"][3:]]
        key = query.get("order", "id").split(",")[0].split(".")[0]
        beyond = _BEYOND.fullmatch(query.get("or", ""))
        if beyond is not None:
            at, row_id = beyond["at"], beyond["id"]
            rows = [
                row
                for row in rows
                if _get(row, key) is not None
                and (self._value(row, key) > at)
                | ((self._value(row, key) == at) & (str(_get(row, "id")) > row_id))
            ]
        earlier = _EARLIER.fullmatch(query.get("or", ""))
        if earlier is not None:
            place = (earlier["at"], earlier["id"])
            rows = [row for row in rows if (self._value(row, key), str(_get(row, "id"))) < place]
        if not self.unordered:
            rows = sorted(
                rows,
                key=lambda row: (
                    _get(row, key) is None,
                    self._value(row, key),
                    str(_get(row, "id")),
                ),
                reverse=f"{key}.desc" in query.get("order", ""),
            )
        return rows

    def _value(self, row: Row, key: str) -> str:
        return str(_get(row, "id") if key == "id" else _get(row, "stored", _get(row, key)))

    def _columns(self, row: Any, query: dict[str, str]) -> Any:
        if not isinstance(row, dict):
            return row
        wanted = query.get("select", "*").split(",")
        return {
            name: value
            for name, value in row.items()
            if name != "stored" and (wanted == ["*"] or name in wanted)
        }


def _is_within(row: Row, window: tuple[str, str, str]) -> bool:
    """Whether a point is of one of a window's jobs, and not before its time."""
    one, several, since = window
    wanted = {one, *several.split(",")}
    return _get(row, "job_id") in wanted and str(_get(row, "timestamp")) >= since


def _get(row: Any, name: str, otherwise: object = None) -> Any:
    """A value of a row, which may be no row."""
    return row.get(name, otherwise) if isinstance(row, dict) else otherwise


@contextmanager
def serving(project: FaultyProject) -> Iterator[Rest]:
    """The tables of this project, as our gateway sees them."""
    with served(project) as url, Rest(url, httpx.Auth()) as rest:
        yield rest


@contextmanager
def served(project: FaultyProject) -> Iterator[str]:
    """The URL of this project."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            status, headers, body = project.answer(self.path, self.headers.get("Prefer", ""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
