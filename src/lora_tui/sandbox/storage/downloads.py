"""The bytes of an object, by a signed link or with a session, and the signing of links.

A signed link lets anybody read one object for a limited time. Its token holds the path that it was
made for. Signing one object takes that from the URL of the request, decoded as JavaScript's
decodeURI does it, and a fetch compares it with the real name. So a name whose `=` or `+` was sent
as `%3D` or `%2B` gets a link that never works.

If-Range and If-Match are ignored, so a client that resumes a download has to compare ETags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lora_tui.sandbox.backend import (
    SIGNING_SECRET,
    Backend,
    BadTokenError,
    Call,
    Caller,
    json_response,
    make_token,
    read_token,
)
from lora_tui.sandbox.file_response import (
    UnsatisfiableError,
    file_response,
    is_unmodified,
    whole_second,
)
from lora_tui.sandbox.objects import StoredObject, md5_etag
from lora_tui.sandbox.storage.access import (
    StorageError,
    answer,
    check_bucket,
    find,
    foreign_link,
    integer,
    internal_error,
    invalid_link,
    invalid_range,
    invalid_request,
    may_read,
    object_body,
    object_not_found,
    readable,
    required,
    session,
    session_of_reader,
    token_message,
)

_NO_ACCESS: Final = "Either the object does not exist or you do not have access to it"
_MOST_PATHS: Final = 1000
_KEPT_ENCODED: Final = re.compile(rb"(%(?:3B|2F|3F|3A|40|26|3D|2B|24|2C|23))", re.IGNORECASE)
"""The characters `;/?:@&=+$,#`, which decodeURI leaves as they are."""


def sign(backend: Backend, call: Call) -> Response:
    """`POST /object/sign/{bucket}/{path}`: one signed URL."""

    def act(caller: Caller) -> Response:
        seconds = _seconds(backend, object_body(call))
        bucket, name = call.path_params["bucket"], call.path_params["name"]
        readable(backend, caller, bucket, name)
        _, _, path = call.raw_path.partition("/object/sign/")
        url = _signed_url(backend, decode_uri(path), seconds)
        return json_response({backend.faults.get("signed_url_key"): url})

    return answer(backend, call, act)


def sign_many(backend: Backend, call: Call) -> Response:
    """`POST /object/sign/{bucket}`: a signed URL or an error for each path."""

    def act(caller: Caller) -> Response:
        body = object_body(call)
        seconds = _seconds(backend, body)
        bucket = call.path_params["bucket"]
        key = backend.faults.get("signed_url_key")
        rows = []
        for path in _paths(body):
            there = find(backend, bucket, path) if may_read(backend, caller, path) else None
            url = None if there is None else _signed_url(backend, f"{bucket}/{path}", seconds)
            rows.append({"error": None if url else _NO_ACCESS, "path": path, key: url})
        return json_response(rows)

    return answer(backend, call, act)


def read_link(backend: Backend, token: str | None, path: str) -> float:
    """When a signed link to this bucket and path expires, in seconds since 1970.

    Raises StorageError if it has expired or is for another path.
    """
    if token is None:
        raise invalid_request("querystring must have required property 'token'")
    try:
        claims = read_token(token, SIGNING_SECRET, now=backend.now().timestamp())
    except BadTokenError as error:
        raise invalid_link(token_message(error)) from None
    if claims.get("url") != path:
        raise foreign_link()
    return float(claims["exp"])


def decode_uri(path: str) -> str:
    """A path decoded as by JavaScript's decodeURI, which leaves some escapes as they are."""
    parts = _KEPT_ENCODED.split(path.encode("latin-1"))
    # every second part is one of the escapes
    decoded = [part if index % 2 else unquote_to_bytes(part) for index, part in enumerate(parts)]
    return b"".join(decoded).decode(errors="replace")


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


def _signed_url(backend: Backend, path: str, seconds: float) -> str:
    moment = backend.now().timestamp()
    token = make_token(
        {"url": path, "iat": int(moment), "exp": moment + seconds},
        SIGNING_SECRET,
    )
    return f"/object/sign/{path}?token={token}"


def _seconds(backend: Backend, body: Mapping[str, Any]) -> float:
    seconds = integer(required(body, "expiresIn"), "expiresIn", least=1)
    switched = backend.faults.get("signed_url_seconds")
    return float(seconds if switched is None else switched)


def _paths(body: Mapping[str, Any]) -> list[str]:
    paths = required(body, "paths")
    if not isinstance(paths, list):
        raise invalid_request("body/paths must be array")
    if not paths:
        raise invalid_request("body/paths must NOT have fewer than 1 items")
    if len(paths) > _MOST_PATHS:
        raise invalid_request(f"body/paths must NOT have more than {_MOST_PATHS} items")
    return [str(path) for path in paths]


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
