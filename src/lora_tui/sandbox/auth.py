"""Supabase Auth: password and refresh grants, the user, logout."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import string
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.responses import Response

from lora_tui.clock import parse_timestamp
from lora_tui.sandbox.backend import (
    Backend,
    BadTokenError,
    Call,
    ExpiredTokenError,
    NoApiKeyError,
    json_response,
    make_token,
    no_api_key,
)

_BAD_JWT: Final = "invalid JWT: unable to parse or verify signature"
_REFRESH_LETTERS: Final = string.ascii_lowercase + string.digits
_REFRESH_TOKEN: Final = re.compile("[a-z0-9]{12}")
_VERSION_HEADER: Final = "x-supabase-api-version"
_SECOND_VERSION: Final = "2024-01-01"


def token(backend: Backend, call: Call) -> Response:
    """`POST /auth/v1/token?grant_type=password|refresh_token`."""
    try:
        # Signing in ignores a session that the client still sends.
        backend.caller(_without_session(call))
    except NoApiKeyError:
        return no_api_key(call)
    try:
        body = call.json()
    except ValueError:
        return _refusal(400, "bad_json", "Could not parse request body as JSON")
    if not isinstance(body, Mapping):
        return _refusal(400, "bad_json", "Could not parse request body as JSON")
    match parse_qs(call.query).get("grant_type"):
        case ["password"]:
            return _sign_in(backend, str(body.get("email", "")), str(body.get("password", "")))
        case ["refresh_token"]:
            return _refresh(backend, str(body.get("refresh_token", "")))
        case _:
            return _refusal(400, "invalid_credentials", "unsupported_grant_type")


def user(backend: Backend, call: Call) -> Response:
    """`GET /auth/v1/user`: the account behind the access token."""
    found = _session_user(backend, call)
    return found if isinstance(found, Response) else json_response(_user(found[0]))


def logout(backend: Backend, call: Call) -> Response:
    """`POST /auth/v1/logout?scope=global|local|others`: the refresh tokens stop working."""
    found = _session_user(backend, call)
    if isinstance(found, Response):
        return found
    row, session_id = found
    match parse_qs(call.query).get("scope", ["global"]):
        case ["local"]:
            condition, value = "session_id = ?", session_id
        case ["others"]:
            condition, value = "session_id <> ? AND user_id = ?", session_id
        case ["global"]:
            condition, value = "user_id = ?", row["id"]
        case [unknown, *_]:
            text = f'Unsupported logout scope "{unknown}"'
            return _refusal(400, "validation_failed", text)
    parameters = [value, row["id"]] if "AND" in condition else [value]
    backend.database.execute(
        f"UPDATE auth_refresh_tokens SET revoked = 1 WHERE {condition}", parameters
    )
    return Response(status_code=204)


def health(backend: Backend, call: Call) -> Response:
    """`GET /auth/v1/health`."""
    del backend, call
    return json_response({"name": "GoTrue", "version": "sandbox", "description": "make-believe"})


def answer_in_version(call: Call, response: Response) -> Response:
    """The answer in the API version that the client asks for: errors differ from 2024-01-01 on."""
    asked = call.headers.get(_VERSION_HEADER, "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", asked) or asked < _SECOND_VERSION:
        return response
    if response.status_code < 400 or "x-sb-error-code" not in response.headers:
        return response
    body = json.loads(bytes(response.body))
    return json_response(
        {"code": body["error_code"], "message": body["msg"]},
        response.status_code,
        {
            "x-sb-error-code": body["error_code"],
            _VERSION_HEADER: _SECOND_VERSION,
        },
    )


def password_digest(password: str) -> str:
    """The hash of a password that is stored."""
    return hashlib.sha256(password.encode()).hexdigest()


def _sign_in(backend: Backend, email: str, password: str) -> Response:
    if not email:
        return _refusal(400, "validation_failed", "missing email or phone")
    row = backend.database.row("SELECT * FROM auth_users WHERE email = ?", (email.strip().lower(),))
    if row is None or not hmac.compare_digest(row["password_sha256"], password_digest(password)):
        return _refusal(400, "invalid_credentials", "Invalid login credentials")
    moment = backend.timestamp()
    with backend.database.transaction():
        backend.database.execute(
            "UPDATE auth_users SET last_sign_in_at = ? WHERE id = ?", (moment, row["id"])
        )
        refresh_token = _new_refresh_token(backend, str(uuid.uuid4()), row["id"])
    return _session(backend, refresh_token)


def _refresh(backend: Backend, refresh_token: str) -> Response:
    if not _REFRESH_TOKEN.fullmatch(refresh_token):
        return _refusal(400, "validation_failed", "Refresh token is not valid")
    database = backend.database
    with database.transaction():
        row = database.row("SELECT * FROM auth_refresh_tokens WHERE token = ?", (refresh_token,))
        if row is None or row["revoked"]:
            text = "Invalid Refresh Token: Refresh Token Not Found"
            return _refusal(400, "refresh_token_not_found", text)
        if row["successor"] is None:
            successor = _new_refresh_token(backend, row["session_id"], row["user_id"])
            database.execute(
                "UPDATE auth_refresh_tokens SET successor = ?, used_at = ? WHERE token = ?",
                (successor, backend.timestamp(), refresh_token),
            )
            return _session(backend, successor)
        used_at = parse_timestamp(row["used_at"])
        assert used_at is not None
        heir = database.row(
            "SELECT successor FROM auth_refresh_tokens WHERE token = ?", (row["successor"],)
        )
        if heir is not None and heir["successor"] is None:
            return _session(backend, row["successor"])  # its answer was lost, however long ago
        reuse = float(backend.faults.get("refresh_reuse_seconds"))
        if (backend.now() - used_at).total_seconds() < reuse:
            return _session(backend, _new_refresh_token(backend, row["session_id"], row["user_id"]))
        # An old token is used again: it may have been stolen, so the whole session ends.
        database.execute(
            "UPDATE auth_refresh_tokens SET revoked = 1 WHERE session_id = ?", (row["session_id"],)
        )
    return _refusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")


def _new_refresh_token(backend: Backend, session_id: str, user_id: str) -> str:
    refresh_token = "".join(secrets.choice(_REFRESH_LETTERS) for _ in range(12))
    backend.database.execute(
        "INSERT INTO auth_refresh_tokens (token, session_id, user_id) VALUES (?, ?, ?)",
        (refresh_token, session_id, user_id),
    )
    return refresh_token


def _session(backend: Backend, refresh_token: str) -> Response:
    row = backend.database.row(
        "SELECT u.*, r.session_id FROM auth_refresh_tokens r JOIN auth_users u ON u.id = r.user_id"
        " WHERE r.token = ?",
        (refresh_token,),
    )
    assert row is not None
    seconds = int(backend.faults.get("access_token_seconds"))
    issued_at = int(backend.now().timestamp())
    claims = {
        "iss": "sandbox/auth/v1",
        "sub": row["id"],
        "aud": "authenticated",
        "exp": issued_at + seconds,
        "iat": issued_at,
        "email": row["email"],
        "role": "authenticated",
        "aal": "aal1",
        "session_id": row["session_id"],
        "is_anonymous": False,
        **_not_before(backend, issued_at),
        # makes two tokens of the same second differ
        "jti": secrets.token_hex(8),
    }
    return json_response(
        {
            "access_token": make_token(claims, backend.session_secret()),
            "token_type": "bearer",
            "expires_in": seconds,
            "expires_at": issued_at + seconds,
            "refresh_token": refresh_token,
            "user": _user(row),
        }
    )


def _not_before(backend: Backend, issued_at: int) -> dict[str, int]:
    seconds = backend.faults.get("session_starts_after")
    return {} if seconds is None else {"nbf": issued_at + int(seconds)}


def _session_user(backend: Backend, call: Call) -> tuple[Any, str] | Response:
    """The account's row and the session's id, or the refusal."""
    try:
        caller = backend.caller(call)
    except NoApiKeyError:
        return no_api_key(call)
    except ExpiredTokenError:
        return _refusal(403, "bad_jwt", f"{_BAD_JWT}, token has invalid claims: token is expired")
    except BadTokenError as error:
        return _refusal(403, "bad_jwt", f"{_BAD_JWT}, {error}")
    if caller.user_id is None:  # the platform has made a token of the key, without a user
        return _refusal(403, "bad_jwt", "invalid claim: missing sub claim")
    row = backend.database.row("SELECT * FROM auth_users WHERE id = ?", (caller.user_id,))
    alive = backend.database.row(
        "SELECT 1 FROM auth_refresh_tokens WHERE session_id = ? AND NOT revoked",
        (caller.session_id,),
    )
    if row is None or alive is None:
        text = "Session from session_id claim in JWT does not exist"
        return _refusal(403, "session_not_found", text)
    return row, str(caller.session_id)


def _user(row: Mapping[str, Any]) -> dict[str, Any]:
    created_at = _go_time(row["created_at"])
    provider = {"provider": "email", "providers": ["email"]}
    return {
        "id": row["id"],
        "aud": "authenticated",
        "role": "authenticated",
        "email": row["email"],
        "email_confirmed_at": created_at,
        "phone": "",
        "confirmed_at": created_at,
        "last_sign_in_at": _go_time(row["last_sign_in_at"] or row["created_at"]),
        "app_metadata": provider,
        "user_metadata": {"email": row["email"], "email_verified": True},
        "identities": [_identity(row)],
        "created_at": created_at,
        "updated_at": _go_time(row["last_sign_in_at"] or row["created_at"]),
        "is_anonymous": False,
    }


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    created_at = _go_time(row["created_at"])
    return {
        "identity_id": str(uuid.uuid5(uuid.UUID(row["id"]), "email")),
        "id": row["id"],
        "user_id": row["id"],
        "identity_data": {
            "email": row["email"],
            "email_verified": True,
            "phone_verified": False,
            "sub": row["id"],
        },
        "provider": "email",
        "last_sign_in_at": created_at,
        "created_at": created_at,
        "updated_at": created_at,
        "email": row["email"],
    }


def _go_time(text: str) -> str:
    moment: datetime | None = parse_timestamp(text)
    assert moment is not None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _without_session(call: Call) -> Call:
    headers = {name: value for name, value in call.headers.items() if name != "authorization"}
    return Call(
        call.method,
        call.path,
        call.raw_path,
        call.origin,
        call.query,
        headers,
        call.path_params,
        call.body,
    )


def _refusal(status: int, error_code: str, message: str) -> Response:
    body = {"code": status, "error_code": error_code, "msg": message}
    return json_response(body, status, {"x-sb-error-code": error_code})
