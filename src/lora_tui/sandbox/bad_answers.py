"""Bad answers, which the middleware sends instead of the right ones when a test asks for them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Message, Scope

_JSON: Final = b"application/json"
_HTML: Final = b"<!doctype html><html><title>Attention</title><h1>Please wait</h1></html>"
_REST: Final[Mapping[str, str]] = {
    "PGRST303": "JWT issued at future",
    "57014": "canceling statement due to statement timeout",
}
INTERIM: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
_FIRST_NAME: Final = b'"name":"'


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
