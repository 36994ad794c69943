"""Resumable uploads by TUS 1.0.0, with Storage's rule: chunks of exactly 6 MiB except the last."""

from __future__ import annotations

import base64
import binascii
import threading
import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.sandbox.backend import Backend, NoApiKeyError, no_api_key, origin
from lora_tui.sandbox.objects import BUCKET_LIMIT, ObjectExistsError
from lora_tui.sandbox.storage import (
    TOO_LARGE,
    StorageError,
    check_bucket,
    check_new_object,
    storage_caller,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 6 * 1024 * 1024
PATH: Final = "/storage/v1/upload/resumable"
_PROTOCOL: Final = {"tus-resumable": "1.0.0"}

Row = Mapping[str, Any]


class _TusError(Exception):
    """A refusal in plain text, as TUS servers write it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def uploads(backend: Backend, request: Request) -> Response:
    """`OPTIONS` tells what is spoken here, `POST` begins an upload."""
    if request.method == "OPTIONS":
        return _options()
    return await _answer(backend, request, _create)


async def upload(backend: Backend, request: Request) -> Response:
    """`HEAD` tells the offset, `PATCH` appends, `DELETE` gives up."""
    match request.method:
        case "OPTIONS":
            return _options()
        case "HEAD":
            return await _answer(backend, request, _tell)
        case "PATCH":
            return await _answer(backend, request, _append)
        case _:
            return await _answer(backend, request, _give_up)


async def _answer(backend: Backend, request: Request, act: Any) -> Response:
    try:
        if request.headers.get("tus-resumable") != "1.0.0":
            raise _TusError(412, "Tus-Resumable Required\n")
        response: Response = await act(backend, request)
    except NoApiKeyError:
        response = no_api_key(request)
    except _TusError as error:
        response = Response(str(error), error.status)
    except StorageError as error:
        response = Response(error.message, error.code)
    except ClientDisconnect:
        response = Response(status_code=499)
    response.headers.update(_PROTOCOL)
    return response


async def _create(backend: Backend, request: Request) -> Response:
    caller = storage_caller(backend, request)
    metadata = _metadata(request.headers.get("upload-metadata", ""))
    try:
        length = int(request.headers["upload-length"])
        name = metadata["objectName"]
        bucket = check_bucket(metadata["bucketName"])
    except (KeyError, ValueError):
        raise _TusError(400, "Upload-Length or Upload-Metadata header invalid\n") from None
    content_type = metadata.get("contentType") or "application/octet-stream"
    check_new_object(caller, name, content_type)
    if not 0 <= length <= BUCKET_LIMIT:
        raise StorageError(*TOO_LARGE, status=413)
    upsert = request.headers.get("x-upsert") == "true"
    if not upsert and backend.objects.find(bucket, name) is not None:
        raise _TusError(409, "The resource already exists")
    upload_id = uuid.uuid4().hex
    expires_at = backend.now() + timedelta(seconds=float(backend.faults.get("upload_seconds")))
    backend.database.execute(
        "INSERT INTO resumable_uploads (id, bucket, name, owner, content_type, length, upsert,"
        " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            upload_id,
            bucket,
            name,
            caller.user_id,
            content_type,
            length,
            int(upsert),
            timestamp_text(expires_at),
        ),
    )
    row = _row(backend, upload_id)
    _file(backend, row).write_bytes(b"")
    if length == 0:
        await run_in_threadpool(_finish, backend, row)
    location = f"{origin(request)}{PATH}/{upload_id}"
    return Response(status_code=201, headers={"location": location, **_expiry(row)})


async def _tell(backend: Backend, request: Request) -> Response:
    storage_caller(backend, request)
    row = _row(backend, request.path_params["upload"])
    headers = {
        "upload-offset": str(_offset(backend, row)),
        "upload-length": str(row["length"]),
        "cache-control": "no-store",
        **_expiry(row),
    }
    return Response(status_code=200, headers=headers)


async def _append(backend: Backend, request: Request) -> Response:
    storage_caller(backend, request)
    row = _row(backend, request.path_params["upload"])
    if request.headers.get("content-type") != "application/offset+octet-stream":
        raise _TusError(415, "Content-Type must be application/offset+octet-stream\n")
    with _alone(row["id"]):
        offset = _offset(backend, row)
        if request.headers.get("upload-offset") != str(offset):
            raise _TusError(409, "Upload-Offset conflict\n")
        announced = request.headers.get("content-length")
        if announced is not None:
            _check_chunk(row, offset, int(announced))
        received = await _store(backend, request, row, offset)
        offset += received
        if offset == row["length"] and not row["finished"]:
            await run_in_threadpool(_finish, backend, row)
    return Response(status_code=204, headers={"upload-offset": str(offset), **_expiry(row)})


async def _store(backend: Backend, request: Request, row: Row, offset: int) -> int:
    """Append the body; what a broken connection brought is kept, a chunk of a wrong size is not."""
    received = 0
    if row["finished"]:
        return received
    with _file(backend, row).open("r+b") as file:
        file.seek(offset)
        async for piece in request.stream():
            received += len(piece)
            if offset + received > row["length"]:
                file.truncate(offset)
                raise _TusError(413, "Upload exceeds its length\n")
            file.write(piece)
            file.flush()
        try:
            _check_chunk(row, offset, received)
        except _TusError:
            file.truncate(offset)
            raise
    return received


async def _give_up(backend: Backend, request: Request) -> Response:
    storage_caller(backend, request)
    row = _row(backend, request.path_params["upload"])
    with _alone(row["id"]):
        backend.database.execute("DELETE FROM resumable_uploads WHERE id = ?", (row["id"],))
        _file(backend, row).unlink(missing_ok=True)
    return Response(status_code=204)


def _check_chunk(row: Row, offset: int, size: int) -> None:
    if offset + size > row["length"]:
        raise _TusError(413, "Upload exceeds its length\n")
    if size != CHUNK and offset + size != row["length"]:
        raise _TusError(400, f"Chunks must be {CHUNK} bytes, except the last one\n")


def _finish(backend: Backend, row: Row) -> None:
    try:
        backend.objects.put(
            row["bucket"],
            row["name"],
            _file(backend, row),
            content_type=row["content_type"],
            owner=row["owner"],
            replace=bool(row["upsert"]),
            moment=backend.timestamp(),
        )
    except ObjectExistsError:
        raise _TusError(409, "The resource already exists") from None
    backend.database.execute("UPDATE resumable_uploads SET finished = 1 WHERE id = ?", (row["id"],))


def _row(backend: Backend, upload_id: str) -> Row:
    row = backend.database.row("SELECT * FROM resumable_uploads WHERE id = ?", (upload_id,))
    if row is None:
        raise _TusError(404, "The file for this url was not found\n")
    expires_at = parse_timestamp(row["expires_at"])
    assert expires_at is not None
    if backend.now() >= expires_at:
        _file(backend, row).unlink(missing_ok=True)
        raise _TusError(410, "The file for this url no longer exists\n")
    return row


def _offset(backend: Backend, row: Row) -> int:
    return int(row["length"]) if row["finished"] else _file(backend, row).stat().st_size


def _file(backend: Backend, row: Row) -> Path:
    return backend.directory / "uploads" / str(row["id"])


def _expiry(row: Row) -> dict[str, str]:
    moment = parse_timestamp(row["expires_at"])
    assert moment is not None
    return {"upload-expires": format_datetime(moment, usegmt=True)}


def _metadata(header: str) -> dict[str, str]:
    found = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _TusError(400, "Upload-Metadata header invalid\n") from None
    return found


def _options() -> Response:
    headers = {
        "tus-version": "1.0.0",
        "tus-extension": "creation,expiration,termination",
        "tus-max-size": str(BUCKET_LIMIT),
        **_PROTOCOL,
    }
    return Response(status_code=204, headers=headers)


_busy: set[str] = set()
_busy_lock = threading.Lock()


@contextmanager
def _alone(upload_id: str) -> Iterator[None]:
    """One client at a time on one upload. Raises a 423 to the second."""
    with _busy_lock:
        if upload_id in _busy:
            raise _TusError(423, "Resource is locked\n")
        _busy.add(upload_id)
    try:
        yield
    finally:
        with _busy_lock:
            _busy.discard(upload_id)
