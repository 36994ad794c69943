"""Reads responses: their JSON, or the LoraTuiError that an error status means."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Any, Final

import httpx

from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    ConflictError,
    DeniedError,
    InterceptedError,
    LoraTuiError,
    MissingReferenceError,
    NotFoundError,
    QueryTimeoutError,
    TooLargeError,
    UnreachableError,
)
from lora_tui.gateway.headers import with_retry_after
from lora_tui.json_values import parse_json
from lora_tui.secret import MASK
from lora_tui.text import terminal_safe, without_secrets

LOGIN_SOURCE: Final = "lora_tui.login_source"
"""The extension of a request that says in words where its access token is configured."""


def token_remedy(source: str) -> str:
    """The remedy for a refused access token of the configuration, which no login replaces."""
    return f"replace the token in {source}, or remove it and run `lora-tui login`"


def check(response: httpx.Response, what: str) -> httpx.Response:
    """The response itself if it is a success. Raises the LoraTuiError of its status.

    `what` completes "Could not …", as in "read the models".
    """
    if response.is_success:
        return response
    raise error_of(response, what)


def error_of(response: httpx.Response, what: str) -> LoraTuiError:
    """The error of an unsuccessful response; its text holds no secret."""
    body = error_body(response)
    status = effective_status(response)
    code = _code(body)
    details = _details(response, body)
    if code == "57014" or "statement timeout" in _text(body):
        return QueryTimeoutError(
            f"Could not {what}: the query took too long at the database", details=details
        )
    if (
        300 <= status < 400
        or (status >= 500 and _is_html(response))
        or (status < 500 and status not in _SENDER_INDEPENDENT and not is_from_service(response))
    ):
        return intercepted_error(response, what)
    refusal = token_refusal(response)
    if refusal is not None:
        return _token_error(response.request, what, refusal, details)
    if code == "23503":
        return MissingReferenceError(
            f"Could not {what}: a row that it refers to no longer exists",
            details=details,
        )
    if code == "23505" or code == "Duplicate" or status == 409:
        return ConflictError(f"Could not {what}: it is already there", details=details)
    if status == 403 or code == "42501":
        return DeniedError(f"Could not {what}: that is not allowed", details=details)
    if status in (404, 406, 410):
        return NotFoundError(
            f"Could not {what}: it does not exist or is not yours", details=details
        )
    if status == 429 or status >= 500:
        pause = response.headers.get("retry-after")
        details = with_retry_after(details or f"HTTP {status}", pause) if pause else details
    if status == 429:
        return UnreachableError(
            f"Could not {what}: the server asks to slow down",
            details=details,
            remedy="wait a minute and try again",
        )
    if status >= 500:
        return UnreachableError(f"Could not {what}: the server fails ({status})", details=details)
    if status == 413 or code == "EntityTooLarge":
        return TooLargeError(
            f"Could not {what}: it is larger than the project allows", details=details
        )
    return BackendError(f"Could not {what}: the server refuses ({status})", details=details)


class TokenRefusal(Enum):
    """Why a server does not accept the token of a request."""

    EXPIRED = auto()
    SIGNATURE = auto()
    """It was not signed with the project's secret."""
    FUTURE = auto()
    """Its start is in the future: clocks of the platform disagree. Temporary."""
    OTHER = auto()


def token_refusal(response: httpx.Response) -> TokenRefusal | None:
    """Why the token is not accepted; None if the response has another reason.

    PostgREST answers 401, Auth 403, Storage 400 with the reason in the body. A 401 that does not
    come from the service (HTML of a proxy) says nothing about the token.
    """
    if response.status_code not in (400, 401, 403):
        return None
    body = error_body(response)
    code, text = _code(body), _text(body)
    if response.status_code == 401 and not is_from_service(response):
        return None
    if code == "42501" or (
        response.status_code == 400 and "statusCode" not in body and code not in _TOKEN_CODES
    ):
        return None
    for refusal, pattern in _REFUSALS:
        if pattern.search(text):
            return refusal
    if effective_status(response) == 401 or code in _TOKEN_CODES:
        return TokenRefusal.OTHER
    return None


def is_from_service(response: httpx.Response) -> bool:
    """Whether an error response comes from the service itself, and not from a proxy before it.

    The services of a project answer with JSON of a few known shapes; a CDN, a proxy or the login
    page of a network answers with HTML, with other JSON, or with nothing. The GPU worker has no
    known shape: any response but HTML counts as its own.
    """
    if "tus-resumable" in response.headers:
        return True
    if not any(part in response.request.url.path for part in _PROJECT_PATHS):
        return not _is_html(response)
    if response.request.method == "HEAD":  # it has no body
        return not _is_html(response)
    if response.status_code == 401 and not response.content.strip():
        return True
    body = error_body(response)
    return any(all(body.get(key) for key in shape) for shape in _ERROR_SHAPES) or (
        response.status_code == 401 and isinstance(body.get("message"), str)
    )


def intercepted_error(response: httpx.Response, what: str) -> InterceptedError:
    """The error for a response that does not come from the service."""
    status = response.status_code
    if 300 <= status < 400:
        return InterceptedError(f"Could not {what}: the server redirects to another address")
    kind = "an HTML page" if _is_html(response) else "in no form that the service uses"
    return InterceptedError(
        f"Could not {what}: a proxy or gateway answered instead of the service (HTTP {status})",
        details=kind,
    )


def read_json(response: httpx.Response, what: str) -> Any:
    """The JSON of a successful response. Raises InterceptedError for a page, else BackendError."""
    try:
        return parse_json(response.content)
    except (ValueError, RecursionError):
        if _is_html(response):
            raise intercepted_error(response, what) from None
        raise BackendError(
            f"Could not {what}: the answer is not JSON",
            remedy="check the configured URL; a proxy or login page may answer in its place",
        ) from None


def require_encoding(value: str | None, what: str, *, allowed: Collection[str] = ()) -> None:
    """Raises BackendError if `what` has a Content-Encoding that was not requested.

    At most one of `allowed` may be applied. `aws-chunked` counts as none: some storages keep it as
    metadata of how an AWS SDK uploaded the object.
    """
    codings = {part.strip().lower() for part in (value or "").split(",")}
    if codings <= {"", "identity", "aws-chunked"}:
        return
    if (value or "").strip().lower() in allowed:  # several at once could expand a million times
        return
    raise BackendError(
        f"{what} is in an encoding that was not requested",
        details=f"Content-Encoding: {terminal_safe(value, limit=60)}",
        remedy="a proxy or a CDN in between must not compress files",
    )


def error_body(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an error response; empty if there is none."""
    return _json_object(response.content)


def effective_status(response: httpx.Response) -> int:
    """The status of a response; Storage answers 400 and writes the real one into the body."""
    return effective_status_of(response.status_code, response.content)


def effective_status_of(status: int, body: bytes) -> int:
    """The same, from a status and a body."""
    if status != 400:
        return status
    answer = _json_object(body)
    meant = str(answer.get("statusCode", ""))
    if re.fullmatch(r"[45]\d\d", meant, re.ASCII):
        return int(meant)
    return 404 if _code(answer) in _NO_OBJECT else 400


def refusal_details(response: httpx.Response) -> str | None:
    """The server's text about an error, without secrets."""
    return _details(response, error_body(response))


def _json_object(content: bytes) -> Mapping[str, Any]:
    try:
        body = parse_json(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _code(body: Mapping[str, Any]) -> str:
    return str(body.get("code") or body.get("error_code") or body.get("error") or "")


def _text(body: Mapping[str, Any]) -> str:
    parts = (body.get("message"), body.get("msg"), body.get("error"))
    return " ".join(part for part in parts if isinstance(part, str)).lower()


def _is_html(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or response.content[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _token_error(
    request: httpx.Request, what: str, refusal: TokenRefusal, details: str | None
) -> AuthenticationError:
    """The error of a refused token: a session needs a new login, a key another configuration."""
    key = request.headers.get("apikey")
    token = request.headers.get("authorization", "").partition(" ")[2]
    is_login = bool(key and token and token != key)
    token_name = "session" if is_login else "key"
    source = str(request.extensions.get(LOGIN_SOURCE) or "") if is_login else ""
    remedy = token_remedy(source) if source else None
    if refusal is TokenRefusal.FUTURE:
        return AuthenticationError(
            f"Could not {what}: the server says that the {token_name} is not valid yet",
            details=details,
            remedy="the clocks of the project disagree; try again in a few minutes"
            + (", or run `lora-tui login`" if is_login and not source else ""),
        )
    if is_login and refusal is TokenRefusal.SIGNATURE:
        return AuthenticationError(
            f"Could not {what}: the session is signed with another secret;"
            " the project's JWT secret has changed",
            details=details,
            remedy=remedy,
        )
    if is_login:
        return AuthenticationError(
            f"Could not {what}: the server does not accept the login",
            details=details,
            remedy=remedy,
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


_SENDER_INDEPENDENT: Final = (409, 413, 423, 429)
"""Statuses that mean the same from a service and from a proxy."""
_NO_OBJECT: Final = ("NoSuchKey", "NoSuchBucket", "not_found")
_PROJECT_PATHS: Final = ("/rest/v1", "/auth/v1", "/storage/v1")
_ERROR_SHAPES: Final = (
    ("code", "message"),  # PostgREST, and Auth of newer versions
    ("code", "msg"),  # Auth
    ("error_code",),
    ("error", "error_description"),  # Auth of older versions
    ("statusCode", "error"),  # Storage
    ("statusCode", "message"),
)
_TOKEN_CODES: Final = ("PGRST301", "PGRST302", "PGRST303", "bad_jwt", "InvalidJWT")
_REFUSALS: Final = (
    (
        TokenRefusal.FUTURE,
        re.compile(
            r'at future|in the future|not yet valid|not valid yet|before issued|"(nbf|iat)" claim'
        ),
    ),
    (TokenRefusal.EXPIRED, re.compile(r'jwt expired|token is expired|"exp" claim')),
    (
        TokenRefusal.SIGNATURE,
        re.compile(
            r"signature verification failed|invalid ?signature|signature is invalid"
            r"|no suitable key|unable to (parse or )?verify signature"
        ),
    ),
    (TokenRefusal.OTHER, re.compile(r"invalid compact jws|invalid jwt|jwt malformed|jws")),
)
"""The services' messages, in lower case."""
