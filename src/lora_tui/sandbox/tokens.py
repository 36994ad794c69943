"""JSON Web Tokens, HS256, made and read by hand: enough for sessions and signed URLs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


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


def _signature(text: str, secret: bytes) -> str:
    return _encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
