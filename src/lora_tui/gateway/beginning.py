"""The first bytes of a file behind a signed link, and no more of it than that."""

from __future__ import annotations

from lora_tui.errors import IntegrityError, NotFoundError
from lora_tui.gateway.answers import error_of
from lora_tui.gateway.headers import byte_count, content_range
from lora_tui.gateway.http import open_body


def read_beginning(url: str, most: int) -> tuple[bytes, int | None]:
    """Up to `most` bytes from the file's start, and the size of the whole file where it is told.

    A server that knows no ranges sends the whole file; the connection is closed at `most` bytes.
    Raises NotFoundError, UnreachableError and BackendError, without any of the URL.
    """
    headers = {"Range": f"bytes=0-{most - 1}", "Accept-Encoding": "identity"}
    what = "read the beginning of the file"
    with open_body(url, headers) as response:
        if response.status_code == 416:
            raise IntegrityError("The file is empty")
        if not response.is_success:
            response.read()
            raise error_of(response, what)
        if response.status_code == 206:
            part = content_range(response.headers.get("content-range"))
            if part is None or part[0] != 0:
                raise NotFoundError(f"Could not {what}: the server sends another part of it")
            total = part[1]
        else:
            total = byte_count(response.headers.get("content-length"))
        received = bytearray()
        for piece in response.iter_raw():
            received += piece
            if len(received) >= most:
                break
    return bytes(received[:most]), total
