"""The standard upload: an object in one request."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.sandbox.backend import Backend, Caller, json_response
from lora_tui.sandbox.objects import BUCKET_LIMIT, StoredObject
from lora_tui.sandbox.storage.access import (
    StorageError,
    check_authorization,
    check_bucket,
    check_key,
    check_type,
    check_write,
    no_content,
    session,
    too_large,
)


async def upload(backend: Backend, request: Request) -> Response:
    """`POST|PUT /object/{bucket}/{path}`: a raw body or a form; PUT replaces what is there."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    content_type = request.headers.get("content-type", "application/octet-stream")
    limit = size_limit(backend)
    try:
        check_authorization(backend, request)
        caller = session(backend, request)
        check_key(backend, name)
        check_bucket(bucket)
        if is_form(content_type):
            async with read_form(request, limit=limit) as form:
                metadata = parse_metadata(form.metadata)
                sent = _Sent(form.pieces(), form.content_type, form.cache_control, metadata)
                stored = await _store(backend, request, caller, sent)
        else:
            check_type(content_type)
            if int(request.headers.get("content-length") or 0) > limit:
                raise too_large()
            cache_control = request.headers.get("cache-control", "no-cache")
            metadata = parse_metadata(_from_base64(request.headers.get("x-metadata", "")))
            sent = _Sent(request.stream(), content_type, cache_control, metadata)
            stored = await _store(backend, request, caller, sent)
    except NoFileError:
        return no_content().response()
    except FormTooLargeError:
        return too_large().response()
    except ClientDisconnect:
        return Response(status_code=499)
    except StorageError as error:
        return error.response()
    return json_response({"Key": f"{bucket}/{name}", "Id": stored.id})


def size_limit(backend: Backend) -> int:
    """How many bytes an object may have that comes in one request."""
    return min(upload_limit(backend), int(backend.faults.get("standard_upload_limit")))


def upload_limit(backend: Backend) -> int:
    """How many bytes any object may have: the smaller limit of the project and the bucket."""
    project = backend.faults.get("project_upload_limit")
    return BUCKET_LIMIT if project is None else min(BUCKET_LIMIT, int(project))


def parse_metadata(text: str) -> Mapping[str, Any]:
    """The metadata to store with an object, from its JSON; empty if that is not an object."""
    with suppress(ValueError):
        metadata = json.loads(text)
        if isinstance(metadata, dict):
            return metadata
    return {}


def _from_base64(text: str) -> str:
    with suppress(ValueError):
        return base64.b64decode(text).decode()
    return ""


@dataclass(frozen=True)
class _Sent:
    """The file in a request, and what is stored with it."""

    pieces: AsyncIterator[bytes]
    content_type: str
    cache_control: str
    metadata: Mapping[str, Any]


async def _store(backend: Backend, request: Request, caller: Caller, sent: _Sent) -> StoredObject:
    """Stream a file to disk and make it an object; a file that breaks off is removed."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    upsert = request.method == "PUT" or request.headers.get("x-upsert") == "true"
    check_type(sent.content_type)
    check_write(backend, caller, bucket, name, upsert=upsert)
    limit, size = size_limit(backend), 0
    unfinished = backend.objects.new_file()
    try:
        with unfinished.open("wb") as file:
            async for piece in sent.pieces:
                size += len(piece)
                if size > limit:
                    raise too_large()
                file.write(piece)
        return await run_in_threadpool(
            backend.objects.put,
            bucket,
            name,
            unfinished,
            content_type=sent.content_type,
            owner=caller.user_id,
            moment=backend.timestamp(),
            cache_control=sent.cache_control,
            metadata=sent.metadata,
        )
    finally:
        unfinished.unlink(missing_ok=True)


_MOST_FILES: Final = 1
_MOST_FIELDS: Final = 10
_ROOM_FOR_FIELDS: Final = 1024 * 1024
_PIECE: Final = 64 * 1024


class NoFileError(Exception):
    """The body is not a form, or a form without a file."""


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
