"""Reads the first bytes of a file by a signed link."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

import httpx

from lora_tui.errors import (
    BackendError,
    IntegrityError,
    InterceptedError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.error_pages import find_error_page
from lora_tui.gateway.headers import byte_count, content_span, strong_etag
from lora_tui.gateway.http import open_stream
from lora_tui.gateway.responses import error_of, require_encoding

_MOST_ERROR_BYTES: Final = 64 << 10
_WHAT: Final = "read the beginning of the file"
_MOST_FAILURES: Final = 3
"""Responses in a row without a new byte."""
_FREE_ANSWERS: Final = 16
_LEAST_BYTES: Final = 4 << 10
"""Bytes that each further response must deliver on average."""


@dataclass(frozen=True)
class _Part:
    """The content of one response."""

    start: int
    content: bytes
    total: int | None
    etag: str | None
    at_end: bool
    """Whether the file has no more bytes, or the response was the whole file."""


def read_prefix(url: str, most: int) -> tuple[bytes, int | None]:
    """Up to `most` bytes from the start of a file, and the file's size if the server tells it.

    A server without range support sends the whole file; the connection is closed at `most` bytes.
    If a response is too short or breaks off, the rest is requested. Raises NotFoundError,
    UnreachableError and BackendError, whose texts hold no part of the URL.
    """
    received, failures, answers = b"", 0, 0
    known: _Part | None = None
    while True:
        etag = known.etag if known is not None else None
        part = _ask(url, len(received), most, etag, last=failures + 1 >= _MOST_FAILURES)
        answers += 1
        if part.start and known is not None and _is_of_another(part, known):
            raise BackendError(f"Could not {_WHAT}: it changes meanwhile", remedy="try again")
        before, received = len(received), received[: part.start] + part.content
        known = part if known is None or part.total is not None else known
        if part.at_end or len(received) >= min(most, known.total or most):
            return received, known.total
        failures = 0 if len(received) > before else failures + 1
        if failures >= _MOST_FAILURES:
            raise UnreachableError(f"Could not {_WHAT}: the answers break off")
        if answers > _FREE_ANSWERS + len(received) // _LEAST_BYTES:
            raise BackendError(f"Could not {_WHAT}: the server sends next to nothing of it")


def _ask(url: str, start: int, most: int, etag: str | None, *, last: bool) -> _Part:
    """One response. With `last`, raises if it breaks off before its first byte."""
    for ranged in (True, False):
        headers = {"Accept-Encoding": "identity"}
        if ranged:
            headers["Range"] = f"bytes={start}-{most - 1}"
            if start and etag:
                headers["If-Range"] = etag
        with open_stream(url, headers) as response:
            if response.status_code == 416 and start:
                return _Part(start, b"", None, etag, at_end=True)
            if ranged and not start and response.status_code in (416, 500):
                continue  # an empty object has no ranges: some stores answer 416, others 500
            if response.status_code == 416:
                raise IntegrityError("The file is empty")
            if not response.is_success:
                received, _ = _received(response, _MOST_ERROR_BYTES, last=True)
                raise _refusal(response, received)
            require_encoding(response.headers.get("content-encoding"), "The file in the bucket")
            return _part(response, start, most, last=last)
    raise AssertionError("not reached")


def _part(response: httpx.Response, start: int, most: int, *, last: bool) -> _Part:
    etag = strong_etag(response.headers.get("etag"))
    if response.status_code == 206:
        span = content_span(response.headers.get("content-range"))
        if span is None or span[0] != start:
            raise NotFoundError(f"Could not {_WHAT}: the server sent a different part of it")
        total = span[2]
        content, _ = _received(response, min(most, span[1]) - start, last=last)
        at_end = False
    else:
        start, total = 0, byte_count(response.headers.get("content-length"))
        content, broken = _received(response, most, last=last)
        at_end = not broken
    if start == 0:
        _check_no_error_page(response, content, total)
        if total == 0:
            raise IntegrityError("The file is empty")
    return _Part(start, content, total, etag, at_end)


def _is_of_another(part: _Part, known: _Part) -> bool:
    return (part.total is not None and known.total not in (None, part.total)) or (
        part.etag is not None and known.etag not in (None, part.etag)
    )


def _check_no_error_page(response: httpx.Response, content: bytes, total: int | None) -> None:
    """Raises InterceptedError if it is a page or an error document in place of the file."""
    name = PurePosixPath(unquote(response.request.url.path)).name
    if find_error_page(content, total, name, response.headers.get("content-type")):
        raise InterceptedError(
            f"Could not {_WHAT}: a proxy or gateway answered instead of the storage,"
            " with a page or an error"
        )


def _received(response: httpx.Response, most: int, *, last: bool) -> tuple[bytes, bool]:
    """The first bytes of the body, and whether it broke off before `most` bytes."""
    received = bytearray()
    try:
        for piece in response.iter_raw():
            received += piece
            if len(received) >= most:
                break
    except httpx.TransportError:
        if last and not received:
            raise
        return bytes(received[:most]), len(received) < most
    return bytes(received[:most]), False


def _refusal(response: httpx.Response, received: bytes) -> Exception:
    refusal = httpx.Response(
        response.status_code,
        headers=_words_only(response.headers),
        content=received,
        request=response.request,
    )
    return error_of(refusal, _WHAT)


def _words_only(headers: httpx.Headers) -> dict[str, str]:
    kind = headers.get("content-type")
    return {} if kind is None else {"Content-Type": kind}
