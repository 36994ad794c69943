"""Storage's S3 protocol: multipart uploads, and objects by PUT, GET and HEAD.

After src/http/routes/s3 and src/storage/protocols/s3 of supabase/storage 1.11. Its keys bypass
row-level security. An upload with the same name as an object always replaces it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import format_datetime
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.file_response import UnsatisfiableError, file_response, whole_second
from lora_tui.sandbox.objects import BUCKET, StoredObject
from lora_tui.sandbox.storage.access import (
    StorageError,
    check_bucket,
    check_key,
    check_type,
    find,
    storage_time,
)
from lora_tui.sandbox.storage.s3_signature import REGION, SignatureError, verify
from lora_tui.sandbox.storage.uploads import upload_limit

PATH: Final = "/storage/v1/s3"
_SMALLEST_PART: Final = 5 * 1024 * 1024
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_MOST_LISTED: Final = 1000
_PIECES_AT_ONCE: Final = 16

Row = Mapping[str, Any]
Query = Mapping[str, str]
Action = Callable[[Backend, Request, Query], Awaitable[Response]]


class S3Error(Exception):
    """An error as S3 answers it, in XML with its real status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def bucket(backend: Backend, request: Request) -> Response:
    """`HEAD` tells whether there is the bucket, `GET ?uploads` lists unfinished uploads."""
    if request.method == "HEAD":
        return await _answer(backend, request, _head_bucket)
    return await _answer(backend, request, _list_uploads)


async def key(backend: Backend, request: Request) -> Response:
    """All that concerns one object or one of its uploads; the query tells what is asked."""
    query = _query(request)
    actions: Mapping[tuple[str, str], Action] = {
        ("POST", "uploads"): _create,
        ("POST", "uploadId"): _complete,
        ("PUT", "uploadId"): _put_part,
        ("PUT", ""): _put_object,
        ("GET", "uploadId"): _list_parts,
        ("GET", ""): _get_object,
        ("HEAD", ""): _head_object,
        ("DELETE", "uploadId"): _abort,
        ("DELETE", ""): _delete_object,
    }
    asked = next((name for name in ("uploads", "uploadId") if name in query), "")
    action = actions.get((request.method, asked))
    if action is None:
        return Response(status_code=404)
    return await _answer(backend, request, action)


async def _answer(backend: Backend, request: Request, act: Action) -> Response:
    try:
        verify(backend, request)
        check_bucket(request.path_params["bucket"])
        return await act(backend, request, _query(request))
    except SignatureError as error:
        failure = S3Error(error.status, error.code, str(error))
    except StorageError as error:
        failure = S3Error(error.status, error.code, error.message)
    except S3Error as error:
        failure = error
    except ClientDisconnect:
        return Response(status_code=499)
    resource = request.url.path.removeprefix("/storage/v1/s3/")
    return _xml(
        f"<Error><Resource>{escape(resource)}</Resource><Code>{failure.code}</Code>"
        f"<Message>{escape(str(failure))}</Message></Error>",
        failure.status,
    )


async def _head_bucket(backend: Backend, request: Request, query: Query) -> Response:
    del backend, request, query
    return Response(status_code=200, headers={"x-amz-bucket-region": REGION})


async def _create(backend: Backend, request: Request, query: Query) -> Response:
    del query
    name = request.path_params["name"]
    check_key(backend, name)
    content_type = request.headers.get("content-type")
    if content_type is not None:
        check_type(content_type)
    upload_id = uuid.uuid4().hex
    backend.database.execute(
        "INSERT INTO multipart_uploads (id, name, content_type, size, created_at)"
        " VALUES (?, ?, ?, 0, ?)",
        (upload_id, name, content_type or "application/octet-stream", backend.timestamp()),
    )
    _directory(backend, upload_id).mkdir(parents=True)
    return _xml(
        f'<InitiateMultipartUploadResult xmlns="{_NAMESPACE}"><Bucket>lora-models</Bucket>'
        f"<Key>{escape(name)}</Key><UploadId>{upload_id}</UploadId>"
        "</InitiateMultipartUploadResult>"
    )


async def _put_part(backend: Backend, request: Request, query: Query) -> Response:
    number = query.get("partNumber", "")
    if re.fullmatch(r"[1-9]\d{0,4}", number) is None or int(number) > 10_000:
        raise S3Error(400, "InvalidRequest", "querystring/partNumber must be <= 10000")
    if "content-length" not in request.headers:
        raise S3Error(400, "MissingContentLength", "Content-Length is required")
    row = _upload(backend, query["uploadId"])
    declared = int(request.headers["content-length"])
    with backend.database.transaction():
        size = int(_upload(backend, row["id"])["size"]) + declared
        if size > upload_limit(backend):  # parts that were sent twice count twice
            raise S3Error(413, "EntityTooLarge", "The object exceeded the maximum allowed size")
        _set_size(backend, row["id"], size)
    md5 = hashlib.md5(usedforsecurity=False)
    file = _directory(backend, row["id"]) / f"unfinished-{uuid.uuid4().hex}"
    received = 0
    try:
        with file.open("wb") as part:
            pieces: list[bytes] = []
            async for piece in _body(request):
                received += len(piece)
                pieces.append(piece)
                if len(pieces) >= _PIECES_AT_ONCE:
                    await run_in_threadpool(_take, part, md5, pieces)
                    pieces = []
            await run_in_threadpool(_take, part, md5, pieces)
        if received != declared:
            raise ClientDisconnect
        etag = md5.hexdigest()
        if backend.faults.take("wrong_part_etag", request.url.path, request.method):
            etag = hashlib.md5(etag.encode(), usedforsecurity=False).hexdigest()
        _upload(backend, row["id"])  # it may have been removed meanwhile
        file.replace(_part(backend, row["id"], int(number)))
    except BaseException:
        file.unlink(missing_ok=True)
        with backend.database.transaction():
            left = backend.database.row(
                "SELECT size FROM multipart_uploads WHERE id = ?", (row["id"],)
            )
            if left is not None:
                _set_size(backend, row["id"], int(left["size"]) - declared)
        raise
    backend.database.execute(
        "INSERT OR REPLACE INTO multipart_parts (upload, number, etag, size, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (row["id"], int(number), etag, received, backend.timestamp()),
    )
    return Response(status_code=200, headers={"etag": f'"{etag}"'})


def _take(file: BinaryIO, md5: Any, pieces: list[bytes]) -> None:
    """In a thread: parts come in parallel, and so do their checksums."""
    data = b"".join(pieces)
    md5.update(data)
    file.write(data)


async def _complete(backend: Backend, request: Request, query: Query) -> Response:
    body = (await request.body()).decode(errors="replace")
    row = _upload(backend, query["uploadId"])
    known = {part["number"]: part for part in _parts(backend, row["id"])}
    asked = _asked_parts(body) or [(number, part["etag"]) for number, part in known.items()]
    if not asked or [number for number, _ in asked] != sorted({number for number, _ in asked}):
        raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    for number, etag in asked:
        if number not in known or known[number]["etag"] != etag:
            raise S3Error(400, "InvalidPart", "One or more of the specified parts are not there.")
    sizes = [int(known[number]["size"]) for number, _ in asked]
    if any(size < _SMALLEST_PART for size in sizes[:-1]):
        raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than allowed")
    whole = hashlib.md5(b"".join(bytes.fromhex(etag) for _, etag in asked), usedforsecurity=False)
    of_parts = f"{whole.hexdigest()}-{len(asked)}" if backend.storage == "s3" else None
    stored = await run_in_threadpool(_join, backend, row, [number for number, _ in asked], of_parts)
    name = escape(row["name"])
    return _xml(
        f'<CompleteMultipartUploadResult xmlns="{_NAMESPACE}">'
        f"<Location>lora-models/{name}</Location><Bucket>lora-models</Bucket><Key>{name}</Key>"
        f"<ETag>&quot;{stored.etag}&quot;</ETag></CompleteMultipartUploadResult>"
    )


def _asked_parts(body: str) -> list[tuple[int, str]]:
    """The numbers and ETags of the parts that a request names, in its order."""
    found = []
    for part in re.findall(r"<Part>(.*?)</Part>", body, re.DOTALL):
        number = re.search(r"<PartNumber>(\d{1,5})</PartNumber>", part)
        etag = re.search(r"<ETag>(?:\"|&quot;|&#34;)?([0-9A-Fa-f]+)", part)
        if number is not None and etag is not None:
            found.append((int(number[1]), etag[1].lower()))
    return found


def _join(backend: Backend, row: Row, numbers: list[int], etag: str | None) -> StoredObject:
    file = backend.objects.new_file()
    with file.open("wb") as whole:
        for number in numbers:
            with _part(backend, row["id"], number).open("rb") as part:
                _append(part, whole)
    stored = backend.objects.put(
        BUCKET,
        row["name"],
        file,
        content_type=row["content_type"],
        owner=None,
        moment=backend.timestamp(),
        etag=etag,
    )
    _forget(backend, row["id"])
    return stored


def _append(part: BinaryIO, whole: BinaryIO) -> None:
    """Copy a file to the end of another one, in the system where it can."""
    if not hasattr(os, "copy_file_range"):
        shutil.copyfileobj(part, whole, 1 << 20)
        return
    while os.copy_file_range(part.fileno(), whole.fileno(), 1 << 30):
        pass


async def _abort(backend: Backend, request: Request, query: Query) -> Response:
    del request
    _forget(backend, _upload(backend, query["uploadId"])["id"])
    return Response(status_code=200)


async def _list_parts(backend: Backend, request: Request, query: Query) -> Response:
    row = _upload(backend, query["uploadId"])
    most = min(int(query.get("max-parts") or _MOST_LISTED), _MOST_LISTED)
    after = int(query.get("part-number-marker") or 0)
    parts = [part for part in _parts(backend, row["id"]) if part["number"] > after]
    listed = "".join(
        f"<Part><PartNumber>{part['number']}</PartNumber>"
        f"<LastModified>{storage_time(part['created_at'])}</LastModified>"
        f"<ETag>&quot;{part['etag']}&quot;</ETag></Part>"
        for part in parts[:most]
    )
    return _xml(
        f'<ListPartsResult xmlns="{_NAMESPACE}"><Bucket>lora-models</Bucket>'
        f"<Key>{escape(request.path_params['name'])}</Key><UploadId>{row['id']}</UploadId>"
        f"<MaxParts>{most}</MaxParts><IsTruncated>{_truth(len(parts) > most)}</IsTruncated>"
        f"{listed}</ListPartsResult>"
    )


async def _list_uploads(backend: Backend, request: Request, query: Query) -> Response:
    del request
    if "uploads" not in query:
        raise S3Error(501, "NotImplemented", "The sandbox lists no objects over S3")
    prefix, most = query.get("prefix", ""), int(query.get("max-uploads") or _MOST_LISTED)
    if not 1 <= most <= _MOST_LISTED:
        raise S3Error(400, "InvalidRequest", "querystring/max-uploads must be <= 1000")
    rows = backend.database.rows(
        "SELECT * FROM multipart_uploads WHERE substr(name, 1, ?) = ? ORDER BY name, id",
        (len(prefix), prefix),
    )
    listed = "".join(
        f"<Upload><Key>{escape(row['name'])}</Key>"
        f"<Initiated>{storage_time(row['created_at'])}</Initiated>"
        f"<UploadId>{row['id']}</UploadId><StorageClass>STANDARD</StorageClass></Upload>"
        for row in rows[:most]
    )
    return _xml(
        f'<ListMultipartUploadsResult xmlns="{_NAMESPACE}"><Name>lora-models</Name>'
        f"<Prefix>{escape(prefix)}</Prefix>{listed}"
        f"<IsTruncated>{_truth(len(rows) > most)}</IsTruncated><MaxUploads>{most}</MaxUploads>"
        "</ListMultipartUploadsResult>"
    )


async def _put_object(backend: Backend, request: Request, query: Query) -> Response:
    del query
    name = request.path_params["name"]
    check_key(backend, name)
    content_type = request.headers.get("content-type", "application/octet-stream")
    check_type(content_type)
    limit, size = upload_limit(backend), 0
    file = backend.objects.new_file()
    try:
        with file.open("wb") as whole:
            async for piece in _body(request):
                size += len(piece)
                if size > limit:
                    raise S3Error(413, "EntityTooLarge", "The object exceeded the maximum size")
                whole.write(piece)
        stored = await run_in_threadpool(
            backend.objects.put,
            BUCKET,
            name,
            file,
            content_type=content_type,
            owner=None,
            moment=backend.timestamp(),
        )
    finally:
        file.unlink(missing_ok=True)
    return Response(status_code=200, headers={"etag": f'"{stored.etag}"'})


async def _get_object(backend: Backend, request: Request, query: Query) -> Response:
    del query
    stored = _stored(backend, request)
    try:
        return await file_response(
            backend, request, stored, {"cache-control": stored.cache_control}
        )
    except UnsatisfiableError:
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable") from None


async def _head_object(backend: Backend, request: Request, query: Query) -> Response:
    del query
    stored = _stored(backend, request)
    headers = {
        "cache-control": stored.cache_control,
        "content-length": str(stored.size),
        "content-type": stored.content_type,
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(whole_second(stored.modified), usegmt=True),
    }
    return Response(status_code=200, headers=headers)


async def _delete_object(backend: Backend, request: Request, query: Query) -> Response:
    del query
    stored = find(backend, BUCKET, request.path_params["name"])
    if stored is not None:
        backend.objects.remove(stored)
    return Response(status_code=204)


def _stored(backend: Backend, request: Request) -> StoredObject:
    stored = find(backend, BUCKET, request.path_params["name"])
    if stored is None:
        raise S3Error(404, "NoSuchKey", "Object not found")
    return stored


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body. The service would decode `aws-chunked`, which no client of the sandbox sends."""
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        raise S3Error(501, "NotImplemented", "The sandbox does not decode aws-chunked")
    async for piece in request.stream():
        yield piece


def _upload(backend: Backend, upload_id: str) -> Row:
    row = backend.database.row("SELECT * FROM multipart_uploads WHERE id = ?", (upload_id,))
    if row is None:
        raise S3Error(404, "NoSuchUpload", "Upload not found")
    return row


def _parts(backend: Backend, upload_id: str) -> list[dict[str, Any]]:
    return backend.database.rows(
        "SELECT * FROM multipart_parts WHERE upload = ? ORDER BY number", (upload_id,)
    )


def _set_size(backend: Backend, upload_id: str, size: int) -> None:
    backend.database.execute(
        "UPDATE multipart_uploads SET size = ? WHERE id = ?", (size, upload_id)
    )


def _forget(backend: Backend, upload_id: str) -> None:
    with backend.database.transaction():
        for table, column in (("multipart_parts", "upload"), ("multipart_uploads", "id")):
            backend.database.execute(f"DELETE FROM {table} WHERE {column} = ?", (upload_id,))
    shutil.rmtree(_directory(backend, upload_id), ignore_errors=True)


def _directory(backend: Backend, upload_id: str) -> Path:
    return backend.directory / "uploads" / f"s3-{upload_id}"


def _part(backend: Backend, upload_id: str, number: int) -> Path:
    return _directory(backend, upload_id) / str(number)


def _query(request: Request) -> Query:
    text = request.scope["query_string"].decode("latin-1")
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _truth(value: bool) -> str:
    return json.dumps(value)


def _xml(body: str, status: int = 200) -> Response:
    return Response(
        f'<?xml version="1.0" encoding="UTF-8"?>{body}',
        status,
        media_type="application/xml; charset=utf-8",
    )
