"""The standard upload: an object in one request."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.sandbox.backend import Backend, Caller, json_response
from lora_tui.sandbox.objects import BUCKET_LIMIT, StoredObject
from lora_tui.sandbox.storage.access import (
    check_authorization,
    check_bucket,
    check_key,
    check_type,
    check_write,
    session,
)
from lora_tui.sandbox.storage.errors import StorageError, no_content, too_large
from lora_tui.sandbox.storage.upload_form import (
    FormTooLargeError,
    NoFileError,
    is_form,
    read_form,
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
                metadata = kept_metadata(form.metadata)
                sent = _Sent(form.pieces(), form.content_type, form.cache_control, metadata)
                stored = await _store(backend, request, caller, sent)
        else:
            check_type(content_type)
            if int(request.headers.get("content-length") or 0) > limit:
                raise too_large()
            cache_control = request.headers.get("cache-control", "no-cache")
            metadata = kept_metadata(_from_base64(request.headers.get("x-metadata", "")))
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


def kept_metadata(text: str) -> Mapping[str, Any]:
    """What is kept with an object, from its JSON; nothing where that is none."""
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
    """What a request brings."""

    pieces: AsyncIterator[bytes]
    content_type: str
    cache_control: str
    metadata: Mapping[str, Any]


async def _store(backend: Backend, request: Request, caller: Caller, sent: _Sent) -> StoredObject:
    """Stream a file to disk and make it an object; nothing is left of one that breaks off."""
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
