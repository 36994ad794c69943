"""What is sent to the bucket: a body of exactly the announced size, under a type that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import httpx

from lora_tui.errors import IntegrityError

# The server answers an upload when it has stored all of it.
UPLOAD_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=120.0, write=60.0, pool=30.0)

_BINARY: Final = "application/octet-stream"
_TYPES: Final = {".json": "application/json", ".tar": "application/x-tar"}
_PIECE: Final = 256 * 1024


def content_type_of(path: str) -> str:
    """The type to store a file under: the bucket takes three."""
    return next((kind for end, kind in _TYPES.items() if path.lower().endswith(end)), _BINARY)


def accepted(content_type: str) -> str:
    """The type itself; ValueError where the bucket does not take it."""
    if content_type not in (_BINARY, *_TYPES.values()):
        raise ValueError(f"the bucket does not take {content_type}")
    return content_type


def exactly(body: BinaryIO | Iterator[bytes], size: int) -> Iterator[bytes]:
    """The bytes of the body. Raises IntegrityError where they are more or fewer than `size`."""
    read = getattr(body, "read", None)
    source: Iterator[bytes] = iter(lambda: read(_PIECE), b"") if read else iter(body)
    seen = 0
    for data in source:
        seen += len(data)
        if seen > size:
            raise IntegrityError(
                "The file is larger than was announced", details=f"announced {size} bytes"
            )
        yield data
    if seen != size:
        raise IntegrityError(
            "The file ended early", details=f"announced {size} bytes, there were {seen}"
        )
