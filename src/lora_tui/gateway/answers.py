"""What an answer stands for: success, JSON, or the error of the family that a refusal means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    ConflictError,
    DeniedError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.redaction import without_secrets
from lora_tui.secret import MASK


def check(response: httpx.Response, what: str) -> httpx.Response:
    """The response itself where it is a success, else the error of the family it stands for.

    `what` completes "Could not …", as in "read the models".
    """
    if response.is_success:
        return response
    raise error_of(response, what)


def error_of(response: httpx.Response, what: str) -> LoraTuiError:
    """The error that an unsuccessful response stands for, without anything secret in it."""
    body = error_body(response)
    status = status_of(response)
    code = str(body.get("code") or body.get("error_code") or body.get("error") or "")
    details = _details(response, body)
    if token_refused(response):
        return _not_accepted(response.request, what, details)
    if code == "23505" or code == "Duplicate" or status == 409:
        return ConflictError(f"Could not {what}: it is already there", details=details)
    if status == 403 or code == "42501":
        return DeniedError(f"Could not {what}: that is not allowed", details=details)
    if status in (404, 406, 410):
        return NotFoundError(
            f"Could not {what}: it does not exist or is not yours", details=details
        )
    if status == 429:
        return UnreachableError(
            f"Could not {what}: the server asks to slow down",
            details=details,
            remedy="wait a minute and try again",
        )
    if status >= 500:
        return UnreachableError(f"Could not {what}: the server fails ({status})", details=details)
    if status == 413:
        return BackendError(f"Could not {what}: it is larger than the project allows")
    if 300 <= status < 400:
        return BackendError(
            f"Could not {what}: the server sends us to another address",
            details=details,
            remedy="check the configured URL",
        )
    return BackendError(f"Could not {what}: the server refuses ({status})", details=details)


def token_refused(response: httpx.Response) -> bool:
    """Whether the server does not accept the token that came along.

    PostgREST answers 401 then, Auth 403, Storage 400 with the reason in the body.
    """
    if response.status_code == 401:
        return True
    if response.status_code not in (400, 403):
        return False
    body = error_body(response)
    if status_of(response) == 401:
        return True
    code = str(body.get("code") or body.get("error_code") or body.get("error") or "")
    text = str(body.get("message") or body.get("msg") or "").lower()
    return (
        code in ("PGRST301", "PGRST302", "PGRST303", "bad_jwt", "InvalidJWT")
        or "jwt expired" in text
        or '"exp" claim' in text
        or "invalid compact jws" in text
    )


def read_json(response: httpx.Response, what: str) -> Any:
    """The JSON of a checked response. Raises BackendError where it is none."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise BackendError(
            f"Could not {what}: the answer is not JSON",
            remedy="check the configured URL; a proxy or login page may answer in its place",
        ) from None


def error_body(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of a refusal; empty where there is none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def status_of(response: httpx.Response) -> int:
    """The status that is meant: Storage answers 400 and writes the real one into the body."""
    if response.status_code == 400:
        meant = str(error_body(response).get("statusCode", ""))
        if re.fullmatch(r"[45]\d\d", meant, re.ASCII):
            return int(meant)
    return response.status_code


def _not_accepted(request: httpx.Request, what: str, details: str | None) -> AuthenticationError:
    """A login is mended by another login, a key in the configuration is not."""
    key = request.headers.get("apikey")
    token = request.headers.get("authorization", "").partition(" ")[2]
    if key and token and token != key:
        return AuthenticationError(
            f"Could not {what}: the server does not accept the login", details=details
        )
    return AuthenticationError(
        f"Could not {what}: the server does not accept the key",
        details=details,
        remedy="check the key and the URL in the configuration; both are of one project",
    )


def _details(response: httpx.Response, body: Mapping[str, Any]) -> str | None:
    parts = [
        body.get("code") or body.get("error_code"),
        body.get("error"),
        body.get("message") or body.get("msg") or body.get("error_description"),
        body.get("details"),
        body.get("hint"),
    ]
    sent = [
        response.request.headers.get("apikey"),
        response.request.headers.get("authorization", "").partition(" ")[2],
    ]
    text = "; ".join(dict.fromkeys(str(part) for part in parts if part))
    if not text and response.headers.get("content-type", "").startswith("text/plain"):
        text = response.text
    for secret in sent:
        if secret:
            text = text.replace(secret, MASK)
    return without_secrets(text) or None
