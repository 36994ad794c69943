"""An upload as a form (`multipart/form-data`), which is how the vendor's clients send a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

_MOST_FILES: Final = 1
_MOST_FIELDS: Final = 10
_ROOM_FOR_FIELDS: Final = 1024 * 1024
_PIECE: Final = 64 * 1024


class NoFileError(Exception):
    """The body is no form, or a form without a file."""


class FormTooLargeError(Exception):
    """The body is longer than a file of the allowed size and the form's fields could make it."""


@dataclass(frozen=True)
class UploadForm:
    """The one file of a form; `content_type` is the file's own, or that of the field so named.

    `metadata` is the JSON text of the field so named.
    """

    content_type: str
    cache_control: str
    metadata: str
    file: UploadFile

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file, piece by piece."""
        while piece := await self.file.read(_PIECE):
            yield piece


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form."""
    return content_type.startswith("multipart/form-data")


@asynccontextmanager
async def read_form(request: Request, *, limit: int) -> AsyncIterator[UploadForm]:
    """Read a form whose file has at most `limit` bytes. Raises NoFileError, FormTooLargeError."""

    async def bounded() -> AsyncIterator[bytes]:
        received = 0
        async for piece in request.stream():
            received += len(piece)
            if received > limit + _ROOM_FOR_FIELDS:
                raise FormTooLargeError
            yield piece

    parser = MultiPartParser(
        request.headers,
        bounded(),  # type: ignore[arg-type] # it only iterates
        max_files=_MOST_FILES,
        max_fields=_MOST_FIELDS,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise NoFileError(error.message) from None
    try:
        file = next((item for _, item in form.multi_items() if isinstance(item, UploadFile)), None)
        if file is None:
            raise NoFileError
        named = form.get("contentType")
        kind = named if isinstance(named, str) and named else file.content_type
        seconds = form.get("cacheControl")
        cache_control = f"max-age={seconds}" if isinstance(seconds, str) and seconds else "no-cache"
        metadata = form.get("metadata", form.get("userMetadata"))
        yield UploadForm(
            kind or "application/octet-stream",
            cache_control,
            metadata if isinstance(metadata, str) else "",
            file,
        )
    finally:
        await form.close()
