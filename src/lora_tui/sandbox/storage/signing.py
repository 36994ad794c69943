"""Signed links, which let anybody read one object for a limited time.

A token holds the path that it was made for. Signing one object takes that from the URL of the
request, decoded as JavaScript's decodeURI does it, and a fetch compares it with the real name. So
a name whose `=` or `+` was sent as `%3D` or `%2B` gets a link that never works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.responses import Response

from lora_tui.sandbox.backend import SIGNING_SECRET, Backend, Call, Caller, json_response
from lora_tui.sandbox.storage.access import (
    answer,
    find,
    integer,
    may_read,
    object_body,
    readable,
    required,
    token_message,
)
from lora_tui.sandbox.storage.errors import (
    foreign_link,
    invalid_link,
    invalid_request,
)
from lora_tui.sandbox.tokens import BadTokenError, make_token, read_token

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
