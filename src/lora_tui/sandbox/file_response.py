"""A file over HTTP: Range, If-Range, ETag, HEAD, in pieces; with the faults that files can have."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import BinaryIO, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

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
    file = (await run_in_threadpool(backend.objects.file, stored)).open("rb")
    if method == "GET" and faults.take("change_file_midway", path, method):
        await run_in_threadpool(backend.objects.replace_by_other_bytes, stored, backend.timestamp())
    size = max(0, stored.size - int(faults.get("wrong_length", path, method)))
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "no-cache",
        "content-type": stored.content_type,
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(_second(stored.modified), usegmt=True),
    }
    if request.headers.get("if-none-match") in {headers["etag"], "*"}:
        file.close()
        return Response(status_code=304, headers=headers)
    span, status = Span(0, size), 200
    if not faults.get("ignore_range", path, method):
        match _requested(request, stored, size):
            case Span() as part:
                span, status = part, 206
                headers["content-range"] = f"bytes {part.first}-{part.end - 1}/{size}"
            case "unsatisfiable":
                file.close()
                headers["content-range"] = f"bytes */{size}"
                return Response(status_code=416, headers=headers)
    headers["content-length"] = str(span.length)
    if method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers)
    wrong = None
    if span.length and faults.take("flip_bit", path, method):
        chosen = faults.get("flip_at", path, method)
        wrong = span.first + span.length // 2 if chosen is None else int(chosen)
    return StreamingResponse(_pieces(file, span, wrong), status, headers=headers)


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


async def _pieces(file: BinaryIO, span: Span, wrong: int | None) -> AsyncIterator[bytes]:
    with file:
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
