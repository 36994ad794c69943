"""A file over HTTP: Range, If-Range, ETag, HEAD, in pieces; with the faults that files can have."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.objects import StoredObject

_PIECE: Final = 64 * 1024
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Span:
    """The bytes from `first` up to but not including `end`."""

    first: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.first


async def file_response(backend: Backend, request: Request, stored: StoredObject) -> Response:
    """Answer GET or HEAD with the object's bytes, or the part of them that is asked for."""
    faults, path, method = backend.faults, request.url.path, request.method
    await run_in_threadpool(backend.objects.file, stored)
    size = max(0, stored.size - int(faults.get("wrong_length", path, method)))
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "no-cache",
        "content-type": stored.content_type,
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(_second(stored.modified), usegmt=True),
    }
    if request.headers.get("if-none-match") in {headers["etag"], "*"}:
        return Response(status_code=304, headers=headers)
    span, status = Span(0, size), 200
    if not faults.get("ignore_range", path, method):
        match _requested(request, stored, size):
            case Span() as part:
                span, status = part, 206
                headers["content-range"] = f"bytes {part.first}-{part.end - 1}/{size}"
            case "unsatisfiable":
                headers["content-range"] = f"bytes */{size}"
                return Response(status_code=416, headers=headers)
    headers["content-length"] = str(span.length)
    if method == "HEAD":
        return Response(status_code=status, headers=headers)
    wrong = None
    if span.length and faults.take("flip_bit", path, method):
        chosen = faults.get("flip_at", path, method)
        wrong = span.first + span.length // 2 if chosen is None else int(chosen)
    change = bool(faults.take("change_file_midway", path, method))
    return _FileResponse(_pieces(backend, stored, span, wrong, change), status, headers)


class _FileResponse(Response):
    """Sends pieces, and closes their source whether or not the client takes them all."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], status: int, headers: Mapping[str, str]
    ) -> None:
        self._pieces = pieces
        self.status_code = status
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._pieces.aclose()


def _requested(request: Request, stored: StoredObject, size: int) -> Span | str | None:
    """The part asked for, None where it is the whole file, or `unsatisfiable`."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or not _unchanged(request.headers.get("if-range"), stored):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        return Span(max(0, size - int(last)), size) if int(last) and size else "unsatisfiable"
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return "unsatisfiable"
    return Span(int(first), min(int(last) + 1, size) if last else size)


def _unchanged(condition: str | None, stored: StoredObject) -> bool:
    """Whether If-Range holds: the same ETag, or exactly the same Last-Modified."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{stored.etag}"'
    try:
        return parsedate_to_datetime(condition) == _second(stored.modified)
    except (TypeError, ValueError):
        return False


async def _pieces(
    backend: Backend, stored: StoredObject, span: Span, wrong: int | None, change: bool
) -> AsyncGenerator[bytes, None]:
    with backend.objects.file(stored).open("rb") as file:
        if change:
            await run_in_threadpool(
                backend.objects.replace_by_other_bytes, stored, backend.timestamp()
            )
        file.seek(span.first)
        at = span.first
        while at < span.end:
            piece = file.read(min(_PIECE, span.end - at))
            if not piece:
                return
            if wrong is not None and at <= wrong < at + len(piece):
                damaged = bytearray(piece)
                damaged[wrong - at] ^= 0x10
                piece = bytes(damaged)
            at += len(piece)
            yield piece


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
