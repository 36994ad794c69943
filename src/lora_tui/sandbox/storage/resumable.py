"""Resumable uploads by TUS 1.0.0, in chunks of any size.

Every request is checked whether it may write: a PATCH without `x-upsert: true` is refused as soon
as there is an object of that name. A second client takes an upload over from the first.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.sandbox.backend import Backend, Caller, origin
from lora_tui.sandbox.storage.access import (
    StorageError,
    check_bucket,
    check_key,
    check_type,
    check_write,
    session,
)
from lora_tui.sandbox.storage.uploads import parse_metadata, upload_limit

PATH: Final = "/storage/v1/upload/resumable"
_BODY_TYPE: Final = "application/offset+octet-stream"
_SMALLEST_PART: Final = 5 * 1024 * 1024
_LARGEST_PART: Final = 50 * 1024 * 1024
_HEADERS: Final = (
    "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable,"
    " Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata,"
    " Upload-Offset, X-HTTP-Method-Override, X-Requested-With, X-Forwarded-Host,"
    " X-Forwarded-Proto, Forwarded"
)
_PROTOCOL: Final = {"tus-resumable": "1.0.0"}
_CROSS_ORIGIN: Final = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": f"{_HEADERS},",
}
_PLAIN: Final = {"content-type": "text/plain;charset=UTF-8"}

Row = Mapping[str, Any]
Action = Callable[[Backend, Request, Caller], Awaitable[Response]]


class _TusError(Exception):
    """An error in plain text, as TUS servers send it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _TakenOverError(Exception):
    """Another client takes the upload over; this one is told the offset stored so far."""


async def uploads(backend: Backend, request: Request) -> Response:
    """`OPTIONS` lists the supported extensions, `POST` creates an upload."""
    if request.method == "OPTIONS":
        return _options(backend)
    return await _answer(backend, request, _create)


async def upload(backend: Backend, request: Request) -> Response:
    """`HEAD` returns the offset, `PATCH` appends, `DELETE` cancels."""
    match request.method:
        case "OPTIONS":
            return _options(backend)
        case "HEAD":
            return await _answer(backend, request, _offset_response)
        case "PATCH":
            return await _answer(backend, request, _append)
        case _:
            return await _answer(backend, request, _cancel)


async def _answer(backend: Backend, request: Request, act: Action) -> Response:
    try:
        caller = session(backend, request)
    except StorageError as error:
        return error.response()
    if (refusal := _malformed(request)) is not None:
        return refusal
    try:
        response = await act(backend, request, caller)
    except _TusError as error:
        response = Response(str(error), error.status, _PLAIN)
    except StorageError as error:
        response = Response(error.message, error.status, _PLAIN)
    except ClientDisconnect:
        response = Response(status_code=499)
    response.headers.update({**_PROTOCOL, **_CROSS_ORIGIN})
    return response


def _malformed(request: Request) -> Response | None:
    """The answer to invalid TUS headers, which are checked first; it has no other headers."""
    headers = request.headers
    if headers.get("tus-resumable") != "1.0.0":
        return Response("Tus-Resumable Required\n", 412, {**_PROTOCOL, **_PLAIN})
    checks = {
        "upload-length": r"\d+",
        "upload-offset": r"\d+",
        "content-type": re.escape(_BODY_TYPE) if request.method == "PATCH" else r".*",
    }
    for name, pattern in checks.items():
        if name in headers and re.fullmatch(pattern, headers[name]) is None:
            return Response(f"Invalid {name}\n", 400, {**_PROTOCOL, **_PLAIN})
    return None


async def _create(backend: Backend, request: Request, caller: Caller) -> Response:
    headers = request.headers
    if ("upload-length" in headers) == ("upload-defer-length" in headers):
        raise _TusError(400, "Upload-Length or Upload-Defer-Length header required\n")
    length = int(headers["upload-length"]) if "upload-length" in headers else None
    if "upload-metadata" not in headers:
        raise _TusError(400, "Metadata header is required")
    metadata = _metadata(headers["upload-metadata"])
    bucket, name = metadata.get("bucketName", ""), metadata.get("objectName", "")
    check_key(backend, name)
    check_bucket(bucket)
    check_write(backend, caller, bucket, name, upsert=_upsert(request))
    if length is not None and length > upload_limit(backend):
        raise _TusError(413, "Maximum size exceeded\n")
    if "contentType" in metadata:
        check_type(metadata["contentType"])
    if length == 0 and backend.storage == "s3":
        raise _TusError(404, "NotFound")  # an object can't be made of no parts
    seconds = re.fullmatch(r"-?\d+", metadata.get("cacheControl", ""))
    metadata["cacheControl"] = f"max-age={seconds[0]}" if seconds else "no-cache"
    version = str(uuid.uuid4())
    _insert(backend, caller, version, metadata, length)
    _file(backend, version).write_bytes(b"")
    answer = {"location": f"{origin(request)}{PATH}/{_upload_id(bucket, name, version)}"}
    async with _exclusive(version) as holder:
        if headers.get("content-type") == _BODY_TYPE:
            offset = await _receive(backend, request, _row(backend, version), holder)
            answer["upload-offset"] = str(offset)
        row = _row(backend, version)
        if row["finished"] or length == 0:
            await run_in_threadpool(_finish, backend, row, caller)
            answer["tus-complete"] = "1"
        else:
            answer |= _expiry(row)
    return Response(status_code=201, headers=answer | _PLAIN)


async def _offset_response(backend: Backend, request: Request, caller: Caller) -> Response:
    del caller  # any session may ask
    bucket, name, version = _address(request)
    async with _exclusive(version):
        row = _row(backend, version, bucket, name)
        length = row["length"]
        headers = {
            "upload-offset": str(_offset(backend, row)),
            **({"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}),
            "upload-metadata": _metadata_header(json.loads(row["metadata"])),
            "cache-control": "no-store",
            **_PLAIN,
        }
    return Response(status_code=200, headers=headers)


async def _append(backend: Backend, request: Request, caller: Caller) -> Response:
    bucket, name, version = _address(request)
    if "upload-offset" not in request.headers:
        raise _TusError(403, "Upload-Offset header required\n")
    if "content-type" not in request.headers:
        raise _TusError(403, "Content-Type header required\n")
    _row(backend, version, bucket, name)
    check_write(backend, caller, bucket, name, upsert=_upsert(request))
    async with _exclusive(version) as holder:
        row = _row(backend, version)
        if int(request.headers["upload-offset"]) != _offset(backend, row):
            raise _TusError(409, "Upload-Offset conflict\n")
        if row["length"] is None and "upload-length" in request.headers:
            row = _set_length(backend, version, int(request.headers["upload-length"]))
        offset = await _receive(backend, request, row, holder)
        answer = {"upload-offset": str(offset)}
        row = _row(backend, version)
        if row["finished"]:
            await run_in_threadpool(_finish, backend, row, caller)
            answer["tus-complete"] = "1"
        else:
            answer |= _expiry(row)
    return Response(status_code=204, headers=answer)


async def _cancel(backend: Backend, request: Request, caller: Caller) -> Response:
    bucket, name, version = _address(request)
    _row(backend, version, bucket, name)
    check_write(backend, caller, bucket, name, upsert=_upsert(request))
    async with _exclusive(version):
        row = _row(backend, version)
        if row["finished"]:
            raise _TusError(400, "Cannot terminate an already completed upload")
        backend.database.execute("DELETE FROM resumable_uploads WHERE version = ?", (version,))
        _file(backend, version).unlink(missing_ok=True)
    return Response(status_code=204)


async def _receive(backend: Backend, request: Request, row: Row, holder: _Holder) -> int:
    """Append the body; the offset behind it.

    What a connection brought that broke, or was taken over, is kept; more than the upload's length
    is not.
    """
    start = _offset(backend, row)
    limit = upload_limit(backend) if row["length"] is None else int(row["length"])
    offset = start
    if start + int(request.headers.get("content-length") or 0) > limit:
        raise _TusError(413, "upload's size exceeded\n")
    if row["finished"]:
        return start
    with _file(backend, row["version"]).open("r+b") as file:
        file.seek(start)
        try:
            async for piece in _pieces(request, holder):
                if offset + len(piece) > limit:
                    file.truncate(start)
                    offset = start
                    raise _TusError(413, "upload's size exceeded\n")
                offset += len(piece)
                file.write(piece)
                file.flush()
        except _TakenOverError:
            pass
        finally:
            _close_parts(backend, row, offset)
    return offset


async def _pieces(request: Request, holder: _Holder) -> AsyncIterator[bytes]:
    """The body as it comes. Raises _TakenOverError once another client asks for the upload."""
    stream = request.stream().__aiter__()
    asked = asyncio.ensure_future(holder.asked.wait())
    try:
        while True:
            coming = asyncio.ensure_future(_next(stream))
            await asyncio.wait({coming, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming
                raise _TakenOverError
            piece = coming.result()
            if piece is None:
                return
            yield piece
    finally:
        asked.cancel()


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


def _close_parts(backend: Backend, row: Row, offset: int) -> None:
    """Record the parts that s3 has so far: only the last may be under 5 MiB."""
    parts = json.loads(row["parts"])
    left, complete = offset - sum(parts), offset == row["length"]
    while left >= _SMALLEST_PART or (complete and left):
        parts.append(min(left, _LARGEST_PART))
        left -= parts[-1]
    backend.database.execute(
        "UPDATE resumable_uploads SET parts = ?, finished = ? WHERE version = ?",
        (json.dumps(parts), int(complete), row["version"]),
    )


def _finish(backend: Backend, row: Row, caller: Caller) -> None:
    """Create the object, unless that was done before; an existing one is replaced."""
    file = _file(backend, row["version"])
    if not file.exists():
        return
    metadata = json.loads(row["metadata"])
    backend.objects.put(
        row["bucket"],
        row["name"],
        file,
        content_type=metadata.get("contentType") or "application/octet-stream",
        owner=caller.user_id,
        moment=backend.timestamp(),
        cache_control=metadata["cacheControl"],
        metadata=parse_metadata(metadata.get("metadata", "")),
        parts=json.loads(row["parts"]) if backend.storage == "s3" else (),
    )


def _insert(
    backend: Backend, caller: Caller, version: str, metadata: Mapping[str, str], length: int | None
) -> None:
    expires_at = None
    if backend.storage == "s3":
        seconds = float(backend.faults.get("upload_seconds"))
        expires_at = timestamp_text(backend.now() + timedelta(seconds=seconds))
    backend.database.execute(
        "INSERT INTO resumable_uploads"
        " (version, bucket, name, owner, metadata, length, finished, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            version,
            metadata["bucketName"],
            metadata["objectName"],
            caller.user_id,
            json.dumps(metadata),
            length,
            int(length == 0),
            expires_at,
        ),
    )


def _set_length(backend: Backend, version: str, length: int) -> Row:
    if length > upload_limit(backend):
        raise _TusError(413, "Maximum size exceeded\n")
    backend.database.execute(
        "UPDATE resumable_uploads SET length = ? WHERE version = ?", (length, version)
    )
    return _row(backend, version)


def _row(backend: Backend, version: str, bucket: str | None = None, name: str | None = None) -> Row:
    row = backend.database.row("SELECT * FROM resumable_uploads WHERE version = ?", (version,))
    known = row is not None and (bucket is None or (row["bucket"], row["name"]) == (bucket, name))
    if row is None or not known:
        raise _TusError(404, "The file for this url was not found\n")
    expires_at = parse_timestamp(row["expires_at"])
    if expires_at is not None and backend.now() >= expires_at:
        _file(backend, version).unlink(missing_ok=True)
        raise _TusError(410, "The file for this url no longer exists\n")
    return row


def _offset(backend: Backend, row: Row) -> int:
    return int(row["length"]) if row["finished"] else _file(backend, row["version"]).stat().st_size


def _file(backend: Backend, version: str) -> Path:
    return backend.directory / "uploads" / version


def _upload_id(bucket: str, name: str, version: str) -> str:
    text = f"{bucket}/{name}/{version}".encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _address(request: Request) -> tuple[str, str, str]:
    """Bucket, name and version of the upload that the request is about."""
    given = request.path_params["upload"]
    text = base64.urlsafe_b64decode(re.sub(r"[^\w-]", "", given, flags=re.ASCII) + "==")
    bucket, _, rest = text.decode(errors="replace").partition("/")
    name, _, version = rest.rpartition("/")
    if not (bucket and name and version):
        raise _TusError(400, "Invalid upload id")
    return bucket, name, version


def _upsert(request: Request) -> bool:
    return request.headers.get("x-upsert") == "true"


def _expiry(row: Row) -> dict[str, str]:
    moment = parse_timestamp(row["expires_at"])
    return {} if moment is None else {"upload-expires": format_datetime(moment, usegmt=True)}


def _metadata(header: str) -> dict[str, str]:
    found = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _TusError(400, "Upload-Metadata header invalid\n") from None
    return found


def _metadata_header(metadata: Mapping[str, str]) -> str:
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )


def _options(backend: Backend) -> Response:
    headers = {
        "access-control-allow-headers": (
            f"{_HEADERS}, Authorization, X-Upsert, Upload-Expires, ApiKey, x-signature"
        ),
        "access-control-allow-methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
        "access-control-max-age": "86400",
        "tus-version": "1.0.0",
        "tus-extension": (
            "creation,creation-with-upload,creation-defer-length,termination,expiration"
        ),
        "tus-max-size": str(upload_limit(backend)),
        **_PROTOCOL,
        **_CROSS_ORIGIN,
    }
    return Response(status_code=204, headers=headers)


@dataclass
class _Holder:
    """The request that holds an upload."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Another request waits for it."""
    free: asyncio.Event = field(default_factory=asyncio.Event)


_holders: dict[str, _Holder] = {}


@asynccontextmanager
async def _exclusive(version: str) -> AsyncIterator[_Holder]:
    """Hold an upload exclusively; a request that holds it is made to release it."""
    while (other := _holders.get(version)) is not None:
        other.asked.set()
        await other.free.wait()
    holder = _holders[version] = _Holder()
    try:
        yield holder
    finally:
        del _holders[version]
        holder.free.set()
