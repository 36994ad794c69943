"""What all parts of the sandbox share: its state, keys, clock, tokens, and who a caller is.

Tokens are JSON Web Tokens, HS256, made and read by hand: enough for sessions and signed URLs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from lora_tui import clock
from lora_tui.sandbox.database import Database
from lora_tui.sandbox.faults import Faults
from lora_tui.sandbox.objects import Objects

ANON_KEY: Final = "sb_publishable_MAKE_BELIEVE_for_the_demo_only"
SERVICE_KEY: Final = "sb_secret_MAKE_BELIEVE_for_the_demo_only"
GPU_KEY: Final = "rpa_MAKE_BELIEVE_for_the_demo_only"
GPU_ENDPOINT: Final = "/v2/demo-endpoint"
StorageKind = Literal["s3", "file"]
SIGNING_SECRET: Final = b"make-believe: signs nothing outside the sandbox"


@dataclass(frozen=True)
class Caller:
    """On whose behalf a request runs: `anon`, `authenticated` (with a user) or `service_role`."""

    role: str
    user_id: str | None = None
    session_id: str | None = None

    @property
    def is_service(self) -> bool:
        return self.role == "service_role"


class NoApiKeyError(Exception):
    """The gateway's refusal: no `apikey` header, or not one of the project's keys."""


@dataclass(frozen=True)
class Backend:
    """The sandbox's state.

    `migrated`: whether our additive migration has been applied. `storage`: where Storage keeps its
    bytes; hosted projects use s3, other servers often files.
    """

    directory: Path
    database: Database
    objects: Objects
    faults: Faults
    migrated: bool
    storage: StorageKind

    def now(self) -> datetime:
        """The current time plus the setting `clock_offset`."""
        return clock.now() + timedelta(seconds=float(self.faults.get("clock_offset")))

    def timestamp(self) -> str:
        """The current time as the tables store it."""
        return clock.timestamp_text(self.now())

    def caller(self, request: Request | Call) -> Caller:
        """The caller of a request. Raises NoApiKeyError, BadTokenError or ExpiredTokenError.

        A key is accepted as Bearer only if it equals the `apikey`, which is what the vendor's
        clients send; the platform replaces it by the role of the key.
        """
        roles = {ANON_KEY: "anon", SERVICE_KEY: "service_role"}
        key = request.headers.get("apikey", "")
        role = roles.get(key)
        if role is None:
            raise NoApiKeyError
        authorization = request.headers.get("authorization")
        if authorization is None:
            return Caller(role)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise BadTokenError("Authorization is not a Bearer token")
        if token.strip() == key:
            return Caller(role)
        return self.caller_of_token(token.strip())

    def caller_of_token(self, token: str) -> Caller:
        """The caller that a session token names. Raises BadTokenError."""
        claims = read_token(token, self.session_secret(), now=self.now().timestamp())
        return Caller(str(claims.get("role")), claims.get("sub"), claims.get("session_id"))

    def session_secret(self) -> bytes:
        """The key that signs sessions; the setting `session_secret` replaces it."""
        switched = self.faults.get("session_secret")
        return SIGNING_SECRET if switched is None else str(switched).encode()


@dataclass(frozen=True)
class Call:
    """A request with its whole body, for handlers that take small bodies."""

    method: str
    path: str
    raw_path: str
    """The path as the client wrote it, still percent-encoded."""
    origin: str
    query: str
    headers: Mapping[str, str]
    path_params: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON (None where it is empty). Raises ValueError; NaN is not JSON."""
        return json.loads(self.body, parse_constant=_refuse_constant) if self.body else None


async def read_call(request: Request) -> Call:
    """Read a request with its whole body."""
    return Call(
        method=request.method,
        path=request.url.path,
        raw_path=raw_path(request),
        origin=origin(request),
        query=request.url.query,
        headers=request.headers,
        path_params=request.path_params,
        body=await request.body(),
    )


def raw_path(request: Request) -> str:
    """The path of a request as the client wrote it."""
    return bytes(request.scope["raw_path"]).decode("latin-1")


def origin(request: Request) -> str:
    """`http://host:port` as the client wrote it."""
    return f"{request.url.scheme}://{request.url.netloc}"


def json_response(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer."""
    return Response(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        status,
        headers=headers,
        media_type="application/json; charset=utf-8",
    )


def no_api_key(request: Request | Call) -> Response:
    """The gateway's answer to NoApiKeyError."""
    if "apikey" in request.headers:
        hint = "Double check your Supabase `anon` or `service_role` API key."
        return json_response({"message": "Invalid API key", "hint": hint}, 401)
    hint = "No `apikey` request header or url param was found."
    return json_response({"message": "No API key found in request", "hint": hint}, 401)


class BadTokenError(Exception):
    """Not a token, or not signed by us. `str(error)` says which."""


class MalformedTokenError(BadTokenError):
    """Not three parts separated by dots."""


class ExpiredTokenError(BadTokenError):
    """A valid token whose `exp` has passed."""


class EarlyTokenError(BadTokenError):
    """A valid token whose `nbf` is in the future."""


def make_token(claims: Mapping[str, Any], secret: bytes) -> str:
    """Sign `claims` as a compact JWT."""
    head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = _encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{head}.{body}.{_signature(f'{head}.{body}', secret)}"


def read_token(token: str, secret: bytes, *, now: float) -> dict[str, Any]:
    """The claims of a token that is ours and holds at `now` (seconds since 1970).

    Raises BadTokenError, or one of its kinds.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise MalformedTokenError(f"Expected 3 parts in JWT; got {len(parts)}")
    if not hmac.compare_digest(
        _signature(f"{parts[0]}.{parts[1]}", secret).encode(), parts[2].encode()
    ):
        raise BadTokenError("signature verification failed")
    try:
        claims = json.loads(_decode(parts[1]))
    except (ValueError, binascii.Error) as error:
        raise BadTokenError("claims are not JSON") from error
    if not isinstance(claims, dict):
        raise BadTokenError("claims are not an object")
    if now < float(claims.get("nbf", 0)):
        raise EarlyTokenError("JWT not yet valid")
    if now >= float(claims.get("exp", 0)):
        raise ExpiredTokenError("JWT expired")
    return claims


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _signature(text: str, secret: bytes) -> str:
    return _encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
