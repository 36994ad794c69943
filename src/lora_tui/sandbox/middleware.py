"""The ASGI layer that logs every request and applies the faults: slow, refused, cut off, wrong.

Wrong responses replace the right ones when a test asks for them.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lora_tui.sandbox.backend import ANON_KEY, GPU_KEY, SERVICE_KEY
from lora_tui.sandbox.faults import Faults

CONTROL_PREFIX: Final = "/_control/"
TABLES_PREFIX: Final = "/rest/v1/"
LOG_ENTRY: Final = "lora_tui.log_entry"
"""Key of the scope: the request's entry in the log, which a handler may add to."""
_PIECE: Final = 16 * 1024
_LOOK: Final = 0.5
"""Seconds between two checks whether a slow answer still has to be slow."""

Connections = MutableMapping[Any, asyncio.Transport]
_JSON: Final = b"application/json"
_HTML: Final = b"<!doctype html><html><title>Attention</title><h1>Please wait</h1></html>"
_REST: Final[Mapping[str, str]] = {
    "PGRST303": "JWT issued at future",
    "57014": "canceling statement due to statement timeout",
}
INTERIM: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
_FIRST_NAME: Final = b'"name":"'


class RequestLog:
    """The last requests, in order of arrival, with the kind of each key but not the key."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=50_000)

    def open(self, scope: Scope) -> dict[str, Any]:
        """Log a request's arrival; the entry's `status` stays None until it is answered."""
        headers = dict(scope["headers"])
        bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")[2]
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "status": None,
            "apikey": _kind(headers.get(b"apikey", b"").decode("latin-1")),
            "bearer": _kind(bearer),
            "range": headers.get(b"range", b"").decode("latin-1") or None,
            "sent": 0,
            "received": 0,
            "dropped": False,
        }
        self._entries.append(entry)
        return entry

    def entries(self) -> list[dict[str, Any]]:
        return list(self._entries)

    def clear(self) -> None:
        self._entries.clear()


class FaultsMiddleware:
    """Wraps the whole application except `/_control/`, which has no faults and no log."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        faults: Faults,
        log: RequestLog,
        connections: Connections,
        now: Callable[[], datetime],
    ) -> None:
        self.app = app
        self.faults = faults
        self.log = log
        self.connections = connections
        self.now = now
        self._pages: dict[Any, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self.app(scope, receive, send)
            return
        if not self.faults.get("repeat_page", scope["path"], scope["method"]):
            self._pages.clear()
        elif scope["method"] == "GET" and scope["path"].startswith(TABLES_PREFIX):
            repeat_first_page(scope, self._pages)
        exchange = _Exchange(self, scope, receive, send)
        if await exchange.refused():
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.dropped:
                raise


def body_of(kind: str | None, status: int, path: str) -> tuple[bytes, bytes]:
    """The body that `answer_with` names, and its Content-Type; by default an error in JSON.

    There are html, null, list, no output (of a worker), and codes of PostgREST.
    """
    match kind:
        case "html":
            return _HTML, b"text/html; charset=utf-8"
        case "null":
            return b"null", _JSON
        case "list":
            return b"[]", _JSON
        case "no output":
            job = path.rpartition("/")[2]
            return json.dumps({"id": job, "status": "COMPLETED", "output": None}).encode(), _JSON
    document = {
        "code": str(status),
        "statusCode": str(status),
        "error": "make-believe",
        "message": "This failure was switched on in the sandbox",
        "details": None,
        "hint": None,
    }
    if kind is not None:
        document = {"code": kind, "message": _REST[kind], "details": None, "hint": None}
    return json.dumps(document).encode(), _JSON


def without_length(message: Message, *more: tuple[bytes, bytes]) -> Message:
    """The start of an answer without Content-Length, so that it is chunked; `more` adds headers."""
    kept = [line for line in message["headers"] if line[0] != b"content-length"]
    return {**message, "headers": [*kept, *more]}


def with_count(message: Message, off: int) -> Message:
    """The start of an answer with `off` added to the total in Content-Range."""
    return {
        **message,
        "headers": [
            (name, _off(value, off) if name == b"content-range" else value)
            for name, value in message["headers"]
        ],
    }


class _DroppedError(Exception):
    """Ends a handler whose connection was cut."""


class _Exchange:
    """One request and its answer."""

    def __init__(self, owner: FaultsMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._faults = owner.faults
        self._connections = owner.connections
        self._now = owner.now
        self._scope = scope
        self._receive = receive
        self._send = send
        self._entry = owner.log.open(scope)
        scope[LOG_ENTRY] = self._entry
        self._path: str = scope["path"]
        self._method: str = scope["method"]
        self._rest: Message | None = None
        self._malformed = False
        self._surrogates = False
        self._gzip: Gzip | None = None
        self._begun = time.monotonic()
        self.dropped = False

    async def refused(self) -> bool:
        """Wait for the latency, then send the error that is switched on, if any."""
        if latency := float(self._setting("latency")):
            await asyncio.sleep(latency)
        wait = self._faults.wait_for_rate_limit(self._path, self._method)
        if wait is not None:
            await self._answer(429, str(max(1, math.ceil(wait))))
            return True
        if self._faults.take("fail_next", self._path, self._method) or self._faults.fails_at_random(
            self._path, self._method
        ):
            retry_after = self._setting("retry_after")
            await self._answer(
                int(self._setting("status")), None if retry_after is None else str(retry_after)
            )
            return True
        counts = b"count=exact" in dict(self._scope["headers"]).get(b"prefer", b"")
        if counts and self._take("count_times_out"):
            await self._answer(500, None, "57014")
            return True
        return False

    async def receive(self) -> Message:
        """The next piece of the request's body, cut off and slowed down as switched on."""
        message = self._rest or await self._receive()
        self._rest = None
        if message["type"] != "http.request":
            return message
        body = message.get("body", b"")
        limit = self._setting("drop_request_after")
        if limit is not None and self._entry["received"] + len(body) > limit:
            room = max(0, int(limit) - self._entry["received"])
            if room:
                self._rest = {**message, "body": body[room:]}
                message = {"type": "http.request", "body": body[:room], "more_body": True}
                body = body[:room]
            elif self._take_drop():
                await self._close()
                return {"type": "http.disconnect"}
        self._entry["received"] += len(body)
        if body and (throttle := self._setting("throttle")):
            await asyncio.sleep(len(body) / float(throttle))
        return message

    async def send(self, message: Message) -> None:
        drop_after = self._setting("drop_after")
        if message["type"] == "http.response.start":
            if drop_after == 0 and self._take_drop():
                await self._close()
                raise _DroppedError
            self._entry["status"] = message["status"]
            self._begun = time.monotonic()
            self._malformed = _is_json(message) and self._take("malformed")
            message = {**message, "headers": [*message["headers"], self._date()]}
            await self._send(self._with_faults(message))
            return
        body = message.get("body", b"")
        if self._surrogates:
            body = with_surrogates(body)
        if self._gzip is not None:
            body = self._gzip.piece(body, more=message.get("more_body", False))
        if self._malformed and body:
            # keeps the announced length, so that only a JSON parser notices
            body = body[: len(body) // 2].ljust(len(body), b"<")
        if drop_after and self._entry["sent"] + len(body) > drop_after and self._take_drop():
            await self._send_body(body[: int(drop_after) - self._entry["sent"]], more=True)
            await self._close()
            raise _DroppedError
        await self._send_body(body, more=message.get("more_body", False))

    def _with_faults(self, start: Message) -> Message:
        """The head of the answer, changed by the faults that are switched on."""
        if interim := int(self._setting("interim_answers")):
            transport = self._connections.get(tuple(self._scope["client"]))
            if transport is not None:
                transport.write(INTERIM * interim)
        if self._path.startswith(TABLES_PREFIX) and (off := int(self._setting("count_off"))):
            start = with_count(start, off)
        start = {
            **start,
            "headers": [*start["headers"], *flood(int(self._setting("header_lines")))],
        }
        if self._method == "HEAD":
            return start
        if _is_json(start) and self._take("lone_surrogates"):
            self._surrogates = True
            start = without_length(start)
        if self._take("compressed"):
            self._gzip = Gzip()
            start = without_length(start, (b"content-encoding", b"gzip"))
        return without_length(start) if self._take("chunked") else start

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        view = memoryview(body)
        while (pace := self._pace()) is not None and len(view):
            piece = bytes(view[: max(1, min(_PIECE, int(pace * _LOOK)))])
            view = view[len(piece) :]
            self._entry["sent"] += len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(len(piece) / pace)
            if self._client_left():
                self.dropped = True
                raise _DroppedError
        self._entry["sent"] += len(view)
        await self._send({"type": "http.response.body", "body": bytes(view), "more_body": more})

    def _pace(self) -> float | None:
        """Bytes a second, where the answer has to be slow."""
        trickle = self._setting("trickle")
        if trickle is not None and time.monotonic() - self._begun < float(trickle):
            return 2.0
        throttle = self._setting("throttle")
        return float(throttle) if throttle else None

    def _client_left(self) -> bool:
        transport = self._connections.get(tuple(self._scope["client"]))
        return transport is None or transport.is_closing()

    async def _close(self) -> None:
        """Close the socket as a broken network does: sent bytes arrive, then nothing."""
        self.dropped = True
        self._entry["dropped"] = True
        transport = self._connections.get(tuple(self._scope["client"]))
        if transport is not None:
            transport.close()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _answer(
        self, status: int, retry_after: str | None, answer_with: str | None = None
    ) -> None:
        kind = answer_with or self._setting("answer_with")
        body, content_type = body_of(kind, status, self._path)
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            self._date(),
        ]
        if retry_after is not None:
            headers.append((b"retry-after", retry_after.encode()))
        self._entry["status"] = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _date(self) -> tuple[bytes, bytes]:
        return (b"date", format_datetime(self._now(), usegmt=True).encode())

    def _setting(self, name: str) -> Any:
        return self._faults.get(name, self._path, self._method)

    def _take(self, name: str) -> bool:
        return self._faults.take(name, self._path, self._method)

    def _take_drop(self) -> bool:
        return self._take("drop_next")


def _is_json(start: Message) -> bool:
    return b"json" in dict(start["headers"]).get(b"content-type", b"")


def _kind(credential: str) -> str | None:
    if not credential:
        return None
    known = {ANON_KEY: "anon", SERVICE_KEY: "service", GPU_KEY: "gpu"}
    return known.get(credential, "user" if credential.startswith("eyJ") else "other")


def _off(content_range: bytes, off: int) -> bytes:
    span, _, total = content_range.partition(b"/")
    return b"%s/%d" % (span, max(0, int(total) + off)) if total.isdigit() else content_range


def flood(lines: int) -> list[tuple[bytes, bytes]]:
    """`lines` header lines of 80 bytes."""
    return [(b"x-flood-%d" % number, b"a" * 80) for number in range(lines)]


def with_surrogates(body: bytes) -> bytes:
    """JSON in which each `name` starts with a lone surrogate."""
    return body.replace(_FIRST_NAME, _FIRST_NAME + b"\\ud800")


class Gzip:
    """Compresses a body piece by piece."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=31)

    def piece(self, body: bytes, *, more: bool) -> bytes:
        """The compressed bytes to send for this piece."""
        done = self._compressor.compress(body)
        return done if more else done + self._compressor.flush()


def repeat_first_page(scope: Scope, pages: MutableMapping[Any, bytes]) -> None:
    """Replace the query by that of the table's first page, which `pages` remembers."""
    query: bytes = scope["query_string"]
    key = (
        scope["method"],
        scope["path"],
        frozenset(
            (name, value)
            for name, value in parse_qsl(query.decode("latin-1"))
            if name not in ("or", "offset", "limit") and not value.startswith(("gt.", "gte."))
        ),
    )
    scope["query_string"] = pages.setdefault(key, query)
