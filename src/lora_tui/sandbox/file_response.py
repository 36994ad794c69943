"""A file as an HTTP response: Range, ETag, HEAD, and the faults for files.

The caller chooses how ranges are read: a plain bucket follows the RFC, Storage does not.
"""

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


class UnsatisfiableError(Exception):
    """The requested range is outside the file; `size` is the size of the file."""

    def __init__(self, size: int) -> None:
        super().__init__(f"of {size} bytes")
        self.size = size


class InvalidRangeError(UnsatisfiableError):
    """The Range header is not a single byte range; most servers then send the whole file."""


async def file_response(
    backend: Backend,
    request: Request,
    stored: StoredObject,
    headers: Mapping[str, str],
    *,
    strict: bool = False,
    guarded: bool = False,
) -> Response:
    """Answer GET or HEAD with the object's bytes, or the part of them that is asked for.

    `headers` are added to those of every file. With `strict` a Range header that makes no sense is
    an error rather than ignored; `guarded` is whether If-Range counts. Raises UnsatisfiableError,
    InvalidRangeError.
    """
    faults, path, method = backend.faults, request.url.path, request.method
    await run_in_threadpool(backend.objects.file, stored)
    size = max(0, stored.size - int(faults.get("wrong_length", path, method)))
    answer = {
        "accept-ranges": "bytes",
        "content-type": stored.content_type,
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(whole_second(stored.modified), usegmt=True),
        **headers,
    }
    span, status = Span(0, size), 200
    asked = request.headers.get("range")
    heeded = not guarded or _unchanged(request.headers.get("if-range"), stored)
    if asked and heeded and not faults.get("ignore_range", path, method):
        try:
            span, status = _span(asked.strip(), size), 206
            answer["content-range"] = f"bytes {span.first}-{span.end - 1}/{size}"
        except InvalidRangeError:
            if strict:
                raise
    answer["content-length"] = str(span.length)
    if method == "HEAD":
        return Response(status_code=status, headers=answer)
    wrong = None
    if span.length and faults.take("flip_bit", path, method):
        chosen = faults.get("flip_at", path, method)
        wrong = span.first + span.length // 2 if chosen is None else int(chosen)
    change = bool(faults.take("change_file_midway", path, method))
    return _FileResponse(_pieces(backend, stored, span, wrong, change), status, answer)


def is_unmodified(request: Request, stored: StoredObject, *, to_the_second: bool) -> bool:
    """Whether the client already has these bytes, by If-None-Match or If-Modified-Since."""
    if request.headers.get("if-none-match") == f'"{stored.etag}"':
        return True
    try:
        since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
    except ValueError:
        return False
    modified = whole_second(stored.modified) if to_the_second else stored.modified
    return modified <= since.astimezone(UTC)


def whole_second(moment: datetime) -> datetime:
    """The time without its fraction of a second, which HTTP dates lack."""
    return moment.astimezone(UTC).replace(microsecond=0)


class _FileResponse(Response):
    """Sends pieces, and always closes their source."""

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


def _span(asked: str, size: int) -> Span:
    """The part of a file of this size that is asked for."""
    match = _RANGE.fullmatch(asked)
    first, last = match.groups() if match else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        raise InvalidRangeError(size)
    if not first:
        if not int(last) or not size:
            raise UnsatisfiableError(size)
        return Span(max(0, size - int(last)), size)
    if int(first) >= size:
        raise UnsatisfiableError(size)
    return Span(int(first), min(int(last) + 1, size) if last else size)


def _unchanged(condition: str | None, stored: StoredObject) -> bool:
    """Whether If-Range holds: the same ETag, or exactly the same Last-Modified."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{stored.etag}"'
    try:
        return parsedate_to_datetime(condition) == whole_second(stored.modified)
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
