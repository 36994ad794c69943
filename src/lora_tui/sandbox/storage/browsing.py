"""Metadata of objects and of the bucket; lists and removal of objects."""

from __future__ import annotations

from email.utils import format_datetime
from typing import Any

from starlette.responses import Response

from lora_tui.sandbox.backend import Backend, Call, Caller, json_response
from lora_tui.sandbox.file_response import whole_second
from lora_tui.sandbox.objects import BUCKET, BUCKET_LIMIT, BUCKET_TYPES, StoredObject
from lora_tui.sandbox.storage.access import (
    StorageError,
    answer,
    bucket_not_found,
    check_bucket,
    find,
    integer,
    invalid_request,
    may_read,
    object_body,
    object_not_found,
    readable,
    required,
    session,
    session_of_reader,
    storage_time,
)

_CREATED_AT = "2026-01-05T08:00:00.000Z"
_ORDERS = ("name", "updated_at", "created_at", "last_accessed_at")


def info(backend: Backend, call: Call) -> Response:
    """`GET|HEAD /object/info/{bucket}/{path}`."""
    demanding = "/info/authenticated/" in call.path
    try:
        caller = session(backend, call) if demanding else session_of_reader(backend, call)
        bucket = check_bucket(call.path_params["bucket"])
        stored = readable(backend, caller, bucket, call.path_params["name"])
    except StorageError as error:
        return error.response()
    body = {
        "id": stored.id,
        "name": stored.name,
        "version": stored.version,
        "bucket_id": stored.bucket,
        "size": stored.size,
        "content_type": stored.content_type,
        "cache_control": stored.cache_control,
        "etag": f'"{stored.etag}"',
        "metadata": stored.metadata,
        "last_modified": storage_time(stored.updated_at),
        "created_at": storage_time(stored.created_at),
    }
    headers = {
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(whole_second(stored.modified), usegmt=True),
        "cache-control": stored.cache_control,
    }
    return json_response(body, headers=headers)


def list_objects(backend: Backend, call: Call) -> Response:
    """`POST /object/list/{bucket}`: the folders and files right under a prefix.

    Upper and lower case are the same in prefix and search. A bucket that is not there is empty.
    """

    def act(caller: Caller) -> Response:
        body = object_body(call)
        prefix = str(required(body, "prefix") or "")
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        limit = integer(body["limit"], "limit", least=1) if "limit" in body else 100
        offset = integer(body.get("offset", 0), "offset", least=0)
        column, descending = _order(body.get("sortBy"))
        bucket = call.path_params["bucket"]
        start = prefix + str(body.get("search") or "")
        folders: dict[str, None] = {}
        files: list[dict[str, Any]] = []
        for path in backend.objects.names_under(bucket, start) if bucket == BUCKET else ():
            if not may_read(backend, caller, path):
                continue
            name, inner, _ = path[len(prefix) :].partition("/")
            if inner:
                folders.setdefault(name)
            elif (stored := find(backend, bucket, path)) is not None:
                files.append(_entry(backend, name, stored))
        files.sort(key=lambda entry: (entry[column], entry["name"]), reverse=descending)
        ordered = [_folder(name) for name in sorted(folders, reverse=descending)] + files
        return json_response(ordered[offset : offset + limit])

    return answer(backend, call, act)


def delete_many(backend: Backend, call: Call) -> Response:
    """`DELETE /object/{bucket}` with `{prefixes: []}`: the objects that were removed."""

    def act(caller: Caller) -> Response:
        prefixes = required(object_body(call), "prefixes")
        if not isinstance(prefixes, list):
            raise invalid_request("body/prefixes must be array")
        if not prefixes:
            raise invalid_request("body/prefixes must NOT have fewer than 1 items")
        bucket = call.path_params["bucket"]
        removed = []
        for name in prefixes:
            stored = find(backend, bucket, str(name)) if caller.is_service else None
            if stored is not None and backend.objects.remove(stored):
                owner = {"owner": stored.owner, "owner_id": stored.owner}
                entry = _entry(backend, stored.name, stored)
                removed.append({**entry, **owner, "bucket_id": bucket, "version": stored.version})
        return json_response(removed)

    return answer(backend, call, act)


def delete_one(backend: Backend, call: Call) -> Response:
    """`DELETE /object/{bucket}/{path}`."""

    def act(caller: Caller) -> Response:
        stored = find(backend, call.path_params["bucket"], call.path_params["name"])
        if stored is None or not caller.is_service:
            raise object_not_found()
        backend.objects.remove(stored)
        return json_response({"message": "Successfully deleted"})

    return answer(backend, call, act)


def buckets(backend: Backend, call: Call) -> Response:
    """`GET /bucket` and `GET /bucket/{bucket}`: only the service role sees one."""

    def act(caller: Caller) -> Response:
        bucket = {
            "id": BUCKET,
            "name": BUCKET,
            "owner": "",
            "public": False,
            "file_size_limit": BUCKET_LIMIT,
            "allowed_mime_types": list(BUCKET_TYPES),
            "created_at": _CREATED_AT,
            "updated_at": _CREATED_AT,
        }
        wanted = call.path_params.get("bucket")
        if wanted is None:
            return json_response([bucket] if caller.is_service else [])
        if wanted != BUCKET or not caller.is_service:
            raise bucket_not_found()
        return json_response(bucket)

    return answer(backend, call, act)


def _order(sort: object) -> tuple[str, bool]:
    """The column, and whether the order is descending."""
    asked = sort if isinstance(sort, dict) else {}
    column = asked.get("column", "name")
    if column not in _ORDERS:
        raise invalid_request("body/sortBy/column must be equal to one of the allowed values")
    return column, asked.get("order") == "desc"


def _folder(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": None,
        "updated_at": None,
        "created_at": None,
        "last_accessed_at": None,
        "metadata": None,
    }


def _entry(backend: Backend, name: str, stored: StoredObject) -> dict[str, Any]:
    modified = storage_time(stored.updated_at)
    if backend.storage == "s3":  # it knows whole seconds
        modified = f"{modified[:19]}.000Z"
    return {
        "name": name,
        "id": stored.id,
        "updated_at": storage_time(stored.updated_at),
        "created_at": storage_time(stored.created_at),
        "last_accessed_at": storage_time(stored.created_at),
        "metadata": {
            "eTag": f'"{stored.etag}"',
            "size": stored.size,
            "mimetype": stored.content_type,
            "cacheControl": stored.cache_control,
            "lastModified": modified,
            "contentLength": stored.size,
            "httpStatusCode": 200,
        },
    }
