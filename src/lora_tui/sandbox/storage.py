"""Supabase Storage: signing, downloads, the standard upload, info, list and delete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lora_tui.sandbox.backend import (
    SIGNING_SECRET,
    Backend,
    Call,
    Caller,
    NoApiKeyError,
    json_response,
    no_api_key,
)
from lora_tui.sandbox.file_response import file_response
from lora_tui.sandbox.objects import (
    BUCKET,
    BUCKET_LIMIT,
    BUCKET_TYPES,
    ObjectExistsError,
    StoredObject,
)
from lora_tui.sandbox.tokens import BadTokenError, ExpiredTokenError, make_token, read_token
from lora_tui.sandbox.upload_form import FormTooLargeError, NoFileError, is_form, read_form

LONGEST_NAME: Final = 1024
_NO_ACCESS: Final = "Either the object does not exist or you do not have access to it"


class StorageError(Exception):
    """A refusal: Storage's HTTP status is 400 for most, the real one stands in the body."""

    def __init__(self, code: int, error: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.error = error
        self.message = message
        self.status = status

    def response(self) -> Response:
        """The answer."""
        body = {"statusCode": str(self.code), "error": self.error, "message": self.message}
        return json_response(body, self.status)


NOT_FOUND: Final = (404, "not_found", "Object not found")
TOO_LARGE: Final = (
    413,
    "Payload too large",
    "The object exceeded the maximum allowed size",
)


def sign(backend: Backend, call: Call) -> Response:
    """`POST /object/sign/{bucket}/{path}`: one signed URL."""

    def act(caller: Caller) -> Response:
        seconds = _seconds(backend, _mapping(call))
        bucket, name = call.path_params["bucket"], call.path_params["name"]
        stored = _readable(backend, caller, bucket, name)
        return json_response(
            {backend.faults.get("signed_url_key"): _signed_url(backend, stored, seconds)}
        )

    return _answer(backend, call, act)


def sign_many(backend: Backend, call: Call) -> Response:
    """`POST /object/sign/{bucket}`: a signed URL or an error for each path."""

    def act(caller: Caller) -> Response:
        body = _mapping(call)
        seconds = _seconds(backend, body)
        paths = body.get("paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise StorageError(400, "Error", "body must have required property 'paths'")
        bucket = check_bucket(call.path_params["bucket"])
        key = backend.faults.get("signed_url_key")
        rows = []
        for path in paths:
            try:
                stored = _readable(backend, caller, bucket, path)
                rows.append(
                    {"error": None, "path": path, key: _signed_url(backend, stored, seconds)}
                )
            except StorageError:
                rows.append({"error": _NO_ACCESS, "path": path, key: None})
        return json_response(rows)

    return _answer(backend, call, act)


async def download_signed(backend: Backend, request: Request) -> Response:
    """`GET|HEAD /object/sign/{bucket}/{path}?token=…`: needs no key, the token is enough."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    try:
        claims = read_token(
            request.query_params.get("token", ""), SIGNING_SECRET, now=backend.now().timestamp()
        )
    except ExpiredTokenError:
        return StorageError(400, "InvalidJWT", '"exp" claim timestamp check failed').response()
    except BadTokenError as error:
        return StorageError(400, "InvalidJWT", str(error)).response()
    if claims.get("url") != f"{bucket}/{name}":
        return StorageError(
            400, "InvalidSignature", "The url do not match the signature"
        ).response()
    stored = await run_in_threadpool(backend.objects.find, bucket, name)
    if stored is None:
        return StorageError(*NOT_FOUND).response()
    return await file_response(backend, request, stored)


async def download(backend: Backend, request: Request) -> Response:
    """`GET|HEAD /object/{bucket}/{path}` and `/object/authenticated/…`, with a session or a key."""
    try:
        caller = storage_caller(backend, request)
        stored = await run_in_threadpool(
            _readable,
            backend,
            caller,
            request.path_params["bucket"],
            request.path_params["name"],
        )
    except NoApiKeyError:
        return no_api_key(request)
    except StorageError as error:
        return error.response()
    return await file_response(backend, request, stored)


async def upload(backend: Backend, request: Request) -> Response:
    """`POST|PUT /object/{bucket}/{path}`: the standard upload, a raw body or a form."""
    try:
        caller = storage_caller(backend, request)
        content_type = request.headers.get("content-type", "application/octet-stream")
        limit = int(backend.faults.get("standard_upload_limit"))
        if is_form(content_type):
            async with read_form(request, limit=limit) as form:
                stored = await _store(
                    backend, request, caller, form.pieces(), content_type=form.content_type
                )
        else:
            if int(request.headers.get("content-length") or 0) > limit:
                raise StorageError(*TOO_LARGE)
            stored = await _store(
                backend, request, caller, request.stream(), content_type=content_type
            )
    except NoFileError:
        return StorageError(400, "InvalidRequest", "No content provided").response()
    except FormTooLargeError:
        return StorageError(*TOO_LARGE).response()
    except NoApiKeyError:
        return no_api_key(request)
    except ClientDisconnect:
        return Response(status_code=499)
    except StorageError as error:
        return error.response()
    return json_response({"Key": f"{stored.bucket}/{stored.name}", "Id": stored.id})


def info(backend: Backend, call: Call) -> Response:
    """`GET /object/info/{bucket}/{path}`."""

    def act(caller: Caller) -> Response:
        stored = _readable(backend, caller, call.path_params["bucket"], call.path_params["name"])
        return json_response(
            {
                "id": stored.id,
                "name": stored.name,
                "version": stored.etag,
                "bucket_id": stored.bucket,
                "size": stored.size,
                "content_type": stored.content_type,
                "contentType": stored.content_type,
                "cache_control": "no-cache",
                "etag": f'"{stored.etag}"',
                "metadata": {},
                "last_modified": stored.updated_at,
                "created_at": stored.created_at,
            }
        )

    return _answer(backend, call, act)


def list_objects(backend: Backend, call: Call) -> Response:
    """`POST /object/list/{bucket}`: the files and folders right under a prefix, by name."""

    def act(caller: Caller) -> Response:
        body = _mapping(call)
        bucket = check_bucket(call.path_params["bucket"])
        prefix = str(body.get("prefix") or "").strip("/")
        start = f"{prefix}/" if prefix else ""
        entries: dict[str, dict[str, Any]] = {}
        for stored in backend.objects.under(bucket, start):
            if not _may_read(backend, caller, stored.name):
                continue
            name, slash, _ = stored.name.removeprefix(start).partition("/")
            if body.get("search") and str(body["search"]).lower() not in name.lower():
                continue
            entries.setdefault(name, _folder(name) if slash else _entry(name, stored))
        ordered = [entries[name] for name in sorted(entries)]
        sort = body.get("sortBy")
        if isinstance(sort, Mapping) and sort.get("order") == "desc":
            ordered.reverse()
        first = int(body.get("offset") or 0)
        return json_response(ordered[first : first + int(body.get("limit") or 100)])

    return _answer(backend, call, act)


def delete_many(backend: Backend, call: Call) -> Response:
    """`DELETE /object/{bucket}` with `{prefixes: []}`: the objects that were removed."""

    def act(caller: Caller) -> Response:
        prefixes = _mapping(call).get("prefixes")
        if not isinstance(prefixes, list):
            raise StorageError(400, "Error", "body must have required property 'prefixes'")
        bucket = check_bucket(call.path_params["bucket"])
        removed = []
        for name in prefixes:
            stored = backend.objects.find(bucket, str(name)) if caller.is_service else None
            if stored is not None:
                backend.objects.remove(stored)
                removed.append({**_entry(stored.name, stored), "bucket_id": bucket})
        return json_response(removed)

    return _answer(backend, call, act)


def delete_one(backend: Backend, call: Call) -> Response:
    """`DELETE /object/{bucket}/{path}`."""

    def act(caller: Caller) -> Response:
        bucket = check_bucket(call.path_params["bucket"])
        stored = backend.objects.find(bucket, call.path_params["name"])
        if stored is None or not caller.is_service:
            raise StorageError(*NOT_FOUND)
        backend.objects.remove(stored)
        return json_response({"message": "Successfully deleted"})

    return _answer(backend, call, act)


def buckets(backend: Backend, call: Call) -> Response:
    """`GET /bucket` and `GET /bucket/{bucket}`: only the service role sees one."""

    def act(caller: Caller) -> Response:
        created_at = "2026-01-05T08:00:00.000Z"
        bucket = {
            "id": BUCKET,
            "name": BUCKET,
            "owner": "",
            "public": False,
            "file_size_limit": BUCKET_LIMIT,
            "allowed_mime_types": list(BUCKET_TYPES),
            "created_at": created_at,
            "updated_at": created_at,
        }
        wanted = call.path_params.get("bucket")
        if wanted is None:
            return json_response([bucket] if caller.is_service else [])
        if wanted != BUCKET or not caller.is_service:
            raise StorageError(404, "Bucket not found", "Bucket not found")
        return json_response(bucket)

    return _answer(backend, call, act)


def storage_caller(backend: Backend, request: Request | Call) -> Caller:
    """Who asks. Raises NoApiKeyError, or StorageError for a bad session."""
    try:
        return backend.caller(request)
    except ExpiredTokenError:
        raise StorageError(403, "Unauthorized", '"exp" claim timestamp check failed') from None
    except BadTokenError:
        raise StorageError(403, "Unauthorized", "Invalid Compact JWS") from None


def check_new_object(caller: Caller, name: str, content_type: str) -> None:
    """Raise StorageError where this caller may not store such an object under this name."""
    if not caller.is_service:
        text = "new row violates row-level security policy"
        raise StorageError(403, "Unauthorized", text)
    usable = 0 < len(name) <= LONGEST_NAME and name.isprintable() and name.isascii()
    if not usable or any(part in {"", ".", ".."} for part in name.split("/")):
        raise StorageError(400, "InvalidKey", f"Invalid key: {name}")
    if content_type not in BUCKET_TYPES:
        text = f"mime type {content_type} is not supported"
        raise StorageError(415, "invalid_mime_type", text)


def _answer(backend: Backend, call: Call, act: Any) -> Response:
    try:
        response: Response = act(storage_caller(backend, call))
        return response
    except NoApiKeyError:
        return no_api_key(call)
    except StorageError as error:
        return error.response()


def check_bucket(name: str) -> str:
    if name != BUCKET:
        raise StorageError(404, "Bucket not found", "Bucket not found")
    return name


def _readable(backend: Backend, caller: Caller, bucket: str, name: str) -> StoredObject:
    """The object, if this caller may read it; a missing one and another's look the same."""
    found = backend.objects.find(check_bucket(bucket), name)
    if found is None or not _may_read(backend, caller, name):
        raise StorageError(*NOT_FOUND)
    return found


def _may_read(backend: Backend, caller: Caller, name: str) -> bool:
    if caller.is_service:
        return True
    return backend.migrated and caller.user_id is not None and name.startswith(f"{caller.user_id}/")


def _mapping(call: Call) -> Mapping[str, Any]:
    try:
        body = call.json()
    except ValueError:
        body = None
    if not isinstance(body, Mapping):
        raise StorageError(400, "Error", "Body is not valid JSON")
    return body


def _seconds(backend: Backend, body: Mapping[str, Any]) -> float:
    seconds = body.get("expiresIn")
    if isinstance(seconds, str) and seconds.strip().isdigit():
        seconds = int(seconds)  # coerced, as the vendor's Python client sends it
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 1:
        raise StorageError(400, "Error", "body/expiresIn must be >= 1")
    switched = backend.faults.get("signed_url_seconds")
    return float(seconds if switched is None else switched)


def _signed_url(backend: Backend, stored: StoredObject, seconds: float) -> str:
    moment = backend.now().timestamp()
    token = make_token(
        {"url": f"{stored.bucket}/{stored.name}", "iat": int(moment), "exp": moment + seconds},
        SIGNING_SECRET,
    )
    return f"/object/sign/{stored.bucket}/{quote(stored.name)}?token={token}"


async def _store(
    backend: Backend,
    request: Request,
    caller: Caller,
    pieces: AsyncIterator[bytes],
    *,
    content_type: str,
) -> StoredObject:
    """Stream a file to disk and make it an object; nothing is left of one that breaks off."""
    bucket, name = check_bucket(request.path_params["bucket"]), request.path_params["name"]
    replace = request.method == "PUT" or request.headers.get("x-upsert") == "true"
    check_new_object(caller, name, content_type)
    if not replace and backend.objects.find(bucket, name) is not None:
        raise StorageError(409, "Duplicate", "The resource already exists")
    limit = int(backend.faults.get("standard_upload_limit"))
    unfinished = backend.objects.new_file()
    try:
        size = 0
        with unfinished.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise StorageError(*TOO_LARGE)
                file.write(piece)
        return await run_in_threadpool(
            backend.objects.put,
            bucket,
            name,
            unfinished,
            content_type=content_type,
            owner=caller.user_id,
            replace=replace,
            moment=backend.timestamp(),
        )
    except ObjectExistsError:
        raise StorageError(409, "Duplicate", "The resource already exists") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _folder(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": None,
        "updated_at": None,
        "created_at": None,
        "last_accessed_at": None,
        "metadata": None,
    }


def _entry(name: str, stored: StoredObject) -> dict[str, Any]:
    return {
        "name": name,
        "id": stored.id,
        "updated_at": stored.updated_at,
        "created_at": stored.created_at,
        "last_accessed_at": stored.updated_at,
        "metadata": {
            "eTag": f'"{stored.etag}"',
            "size": stored.size,
            "mimetype": stored.content_type,
            "cacheControl": "no-cache",
            "lastModified": stored.updated_at,
            "contentLength": stored.size,
            "httpStatusCode": 200,
        },
    }
