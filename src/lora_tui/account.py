"""The signed-in account of a profile: its session, kept in a private file beside nothing else."""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lora_tui.cache.facts import Owner
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.config import Profile
from lora_tui.errors import AuthenticationError, DiskError
from lora_tui.secret import Secret


@dataclass(frozen=True)
class Session:
    """A user's tokens at one Supabase project."""

    access_token: Secret
    refresh_token: Secret
    """Empty where only an access token was given."""
    expires_at: datetime
    user_id: str
    email: str


def cache_owner(profile: Profile, user_id: str) -> Owner:
    """Whose cache it is that a user of this project has."""
    return Owner(user_id, profile.identity or profile.url)


def load_session(profile: Profile) -> Session | None:
    """The session in force: the token from the environment, else the stored one."""
    if profile.access_token:
        return session_of_token(profile.access_token)
    try:
        data = json.loads(_file(profile).read_text(encoding="utf-8"))
        expires_at = parse_timestamp(data["expires_at"])
        if expires_at is None:
            return None
        return Session(
            access_token=Secret(data["access_token"]),
            refresh_token=Secret(data["refresh_token"]),
            expires_at=expires_at,
            user_id=str(data["user_id"]),
            email=str(data["email"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        raise DiskError(f"The stored session can't be read: {error.strerror}") from error


def save_session(profile: Profile, session: Session) -> None:
    """Store it, mode 0600, in one step: a reader sees the old one or the new one."""
    path = _file(profile)
    text = json.dumps(
        {
            "access_token": session.access_token.reveal(),
            "refresh_token": session.refresh_token.reveal(),
            "expires_at": timestamp_text(session.expires_at),
            "user_id": session.user_id,
            "email": session.email,
        }
    )
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DiskError(
            f"The session can't be stored: {error.strerror}",
            details=str(path),
            remedy="check the directory's owner and permissions, or set LORA_TUI_HOME",
        ) from error


def delete_session(profile: Profile) -> bool:
    """Forget the stored session; True where there was one."""
    path = _file(profile)
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


@contextmanager
def refresh_lock(profile: Profile) -> Iterator[None]:
    """Held while a session is refreshed: refresh tokens rotate, two processes must take turns."""
    path = _file(profile).with_suffix(".lock")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def session_of_token(token: Secret) -> Session:
    """Read who an access token belongs to and when it ends; the backend checks its signature."""
    claims = _claims(token.reveal())
    user_id, expiry = claims.get("sub"), claims.get("exp")
    if not isinstance(user_id, str) or not isinstance(expiry, (int, float)):
        raise AuthenticationError(
            "LORA_TUI_ACCESS_TOKEN is not an access token of Supabase",
            remedy="give the access_token of a session, or run `lora-tui login`",
        )
    return Session(
        access_token=token,
        refresh_token=Secret(""),
        expires_at=datetime.fromtimestamp(expiry, UTC),
        user_id=user_id,
        email=str(claims.get("email") or ""),
    )


def _claims(token: str) -> dict[str, Any]:
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _file(profile: Profile) -> Path:
    return profile.paths.state_dir / "sessions" / f"{profile.key}.json"
