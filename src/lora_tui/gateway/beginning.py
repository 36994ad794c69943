"""The first bytes of a file behind a signed link, and no more of it than that."""

from __future__ import annotations

from typing import Final

import httpx

from lora_tui.errors import BackendError, IntegrityError, NotFoundError
from lora_tui.gateway.answers import error_of
from lora_tui.gateway.headers import byte_count, content_range
from lora_tui.gateway.http import open_body
from lora_tui.gateway.wire import names_no_encoding

_MOST_ERROR_BYTES: Final = 64 << 10


def read_beginning(url: str, most: int) -> tuple[bytes, int | None]:
    """Up to `most` bytes from the file's start, and the size of the whole file where it is told.

    A server that knows no ranges sends the whole file; the connection is closed at `most` bytes.
    Raises NotFoundError, UnreachableError and BackendError, without any of the URL.
    """
    what = "read the beginning of the file"
    for ranged in (True, False):
        headers = {"Accept-Encoding": "identity"}
        if ranged:
            headers["Range"] = f"bytes=0-{most - 1}"
        with open_body(url, headers) as response:
            if ranged and response.status_code in (416, 500):
                continue  # an empty object has no part: some stores refuse, others fail
            if response.status_code == 416:
                raise IntegrityError("The file is empty")
            received = _received(response, most if response.is_success else _MOST_ERROR_BYTES)
            if not response.is_success:
                refusal = httpx.Response(
                    response.status_code,
                    headers=_words_only(response.headers),
                    content=received,
                    request=response.request,
                )
                raise error_of(refusal, what)
            if not names_no_encoding(response.headers.get("content-encoding", "")):
                raise BackendError(
                    f"Could not {what}: the server sends it in an encoding that was not requested"
                )
            return received, _total(response, what)
    raise AssertionError("not reached")


def _total(response: httpx.Response, what: str) -> int | None:
    if response.status_code == 206:
        part = content_range(response.headers.get("content-range"))
        if part is None or part[0] != 0:
            raise NotFoundError(f"Could not {what}: the server sent a different part of it")
        return part[1]
    total = byte_count(response.headers.get("content-length"))
    if total == 0:
        raise IntegrityError("The file is empty")
    return total


def _received(response: httpx.Response, most: int) -> bytes:
    received = bytearray()
    for piece in response.iter_raw():
        received += piece
        if len(received) >= most:
            break
    return bytes(received[:most])


def _words_only(headers: httpx.Headers) -> dict[str, str]:
    kind = headers.get("content-type")
    return {} if kind is None else {"Content-Type": kind}
