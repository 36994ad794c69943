"""The bytes of an object: by a signed link, or with a session.

If-Range and If-Match are ignored, so a client that resumes a download has to compare ETags.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.file_response import (
    UnsatisfiableError,
    file_response,
    is_unmodified,
    whole_second,
)
from lora_tui.sandbox.objects import StoredObject, md5_etag
from lora_tui.sandbox.storage.access import check_bucket, find, readable, session, session_of_reader
from lora_tui.sandbox.storage.errors import (
    StorageError,
    internal_error,
    invalid_range,
    object_not_found,
)
from lora_tui.sandbox.storage.signing import read_link


async def download_signed(backend: Backend, request: Request) -> Response:
    """`GET|HEAD /object/sign/{bucket}/{path}?token=…`: needs no key, the token is enough."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    try:
        ends_at = read_link(backend, request.query_params.get("token"), f"{bucket}/{name}")
        stored = await run_in_threadpool(find, backend, bucket, name)
        if stored is None:
            raise object_not_found()
        expires = format_datetime(datetime.fromtimestamp(int(ends_at), UTC), usegmt=True)
        return await _send(backend, request, stored, {"expires": expires})
    except StorageError as error:
        return error.response()


async def download(backend: Backend, request: Request) -> Response:
    """`GET|HEAD /object/{bucket}/{path}` and `/object/authenticated/…`, with a session or a key."""
    try:
        stored = await run_in_threadpool(_readable, backend, request)
        return await _send(backend, request, stored, {"cache-control": stored.cache_control})
    except StorageError as error:
        return error.response()


def _readable(backend: Backend, request: Request) -> StoredObject:
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    demanding = "/authenticated/" in request.url.path
    caller = session(backend, request) if demanding else session_of_reader(backend, request)
    return readable(backend, caller, check_bucket(bucket), name)


async def _send(
    backend: Backend, request: Request, stored: StoredObject, headers: Mapping[str, str]
) -> Response:
    headers = {"x-robots-tag": "none", **headers}
    if (name := request.query_params.get("download")) is not None:
        quoted = quote(name, safe="!'()*")
        named = f" filename={quoted}; filename*=UTF-8''{quoted}" if name else ""
        headers["content-disposition"] = f"attachment;{named}"
    if backend.storage == "file":  # it hashes the whole object for every answer, however short
        await run_in_threadpool(md5_etag, backend.objects.file(stored))
    if is_unmodified(request, stored, to_the_second=backend.storage == "s3"):
        return _not_modified(backend, stored, headers)
    try:
        return await file_response(
            backend, request, stored, headers, strict=backend.storage == "file"
        )
    except UnsatisfiableError:
        raise invalid_range() if backend.storage == "file" else internal_error() from None


def _not_modified(backend: Backend, stored: StoredObject, headers: Mapping[str, str]) -> Response:
    """304; on s3 it is bare, because it comes as an error of the backend."""
    if backend.storage == "s3":
        return Response(status_code=304)
    return Response(
        status_code=304,
        headers={
            "accept-ranges": "bytes",
            "content-type": stored.content_type,
            "etag": f'"{stored.etag}"',
            "last-modified": format_datetime(whole_second(stored.modified), usegmt=True),
            "content-length": "0",
            **headers,
        },
    )
