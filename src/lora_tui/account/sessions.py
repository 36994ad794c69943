"""The signed-in account of a profile and its session.

The tokens are in the keyring where there is one, else in a private file. The file says in either
case whose session it is, so that what only reads the cache never opens a keyring.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lora_tui.account import keyring_store
from lora_tui.account.files import (
    claims_of,
    is_session_of,
    is_user_id,
    read_object,
    read_session_file,
    session_name,
)
from lora_tui.cache.metadata import Owner
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.config.profile import Profile
from lora_tui.errors import AuthenticationError, DiskError
from lora_tui.files import (
    disk_error,
    in_use_error,
    locked_file,
    make_private_directory,
    translate_disk_errors,
    write_private_file,
)
from lora_tui.secret import Secret

KEYRING: Final = "keyring"
FILE: Final = "file"

_RENEWAL_SECONDS: Final = 60.0
"""How long another process may take to renew the session: a few requests, tried again."""

_LONGEST_EMAIL: Final = 1000


@dataclass(frozen=True)
class Session:
    """A user's tokens at one Supabase project."""

    access_token: Secret
    refresh_token: Secret
    """Empty where only an access token was given."""
    expires_at: datetime
    user_id: str
    email: str


@dataclass(frozen=True)
class SignedIn:
    """Whose session is stored."""

    user_id: str
    email: str
    """May be empty."""


def cache_owner(profile: Profile, user_id: str) -> Owner:
    """Whose cache it is that a user of this project has."""
    return Owner(user_id, profile.identity or profile.url)


def signed_in(profile: Profile) -> SignedIn | None:
    """Who is signed in, without a look at the tokens."""
    if profile.access_token:
        session = session_of_token(profile.access_token)
        return SignedIn(session.user_id, session.email)
    data = _read_file(profile)
    if data.get("kept_in") == KEYRING:
        user_id = data.get("user_id")
        return SignedIn(str(user_id), email_of(data)) if is_user_id(user_id) else None
    stored = _session(data)
    return None if stored is None else SignedIn(stored.user_id, stored.email)


def is_damaged(profile: Profile) -> bool:
    """Whether something is in the place of the stored session that is none. Raises DiskError."""
    return (
        os.path.lexists(_file(profile)) and signed_in(replace(profile, access_token=None)) is None
    )


def kept_in(profile: Profile) -> str:
    """Where the stored session's tokens are: KEYRING or FILE."""
    return KEYRING if _read_file(profile).get("kept_in") == KEYRING else FILE


def load_session(profile: Profile) -> Session | None:
    """The session in force: the token from the environment, else the stored one.

    Raises AuthenticationError where it is in a keyring that does not give it now.
    """
    if profile.access_token:
        return session_of_token(profile.access_token)
    data = _read_file(profile)
    if data.get("kept_in") == KEYRING:
        text = keyring_store.read(_keyring_name(profile))
        if text is None:
            raise AuthenticationError(
                "The session is in the keyring, which does not give it",
                remedy="unlock the keyring, or run `lora-tui login` again"
                " (LORA_TUI_NO_KEYRING=1 keeps it in a file)",
            )
        session = _session(read_object(text))
        return session if session and session.user_id == data.get("user_id") else None
    return _session(data)


def save_session(profile: Profile, session: Session) -> str:
    """Store it; says where: KEYRING, or FILE (mode 0600, replaced in one step)."""
    data = {
        "access_token": session.access_token.reveal(),
        "refresh_token": session.refresh_token.reveal(),
        "expires_at": timestamp_text(session.expires_at),
        "user_id": session.user_id,
        "email": session.email,
    }
    # the demo's session is make-believe, and its backend another one each time
    if not profile.identity and keyring_store.write(_keyring_name(profile), json.dumps(data)):
        data = {"kept_in": KEYRING, "user_id": session.user_id, "email": session.email}
        _write_file(profile, data)
        return KEYRING
    was_in_keyring = _was_in_keyring(profile)
    _write_file(profile, data)
    if was_in_keyring:
        keyring_store.remove(_keyring_name(profile))
    return FILE


def delete_session(profile: Profile) -> bool:
    """Forget the stored session, or what is in its place; True where there was anything.

    Raises DiskError.
    """
    path = _file(profile)
    existed = os.path.lexists(path)
    if _was_in_keyring(profile):
        keyring_store.remove(_keyring_name(profile))
    try:
        _clear_place(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, "The stored session can't be removed", path) from error
    return existed


def _was_in_keyring(profile: Profile) -> bool:
    try:
        return kept_in(profile) == KEYRING
    except DiskError:  # what can't be read can still be replaced and removed
        return False


def _clear_place(path: Path) -> None:
    """Move a directory away that has the session's name; an empty one is removed."""
    if path.is_symlink() or not path.is_dir():
        return
    try:
        path.rmdir()
    except OSError:
        path.rename(path.with_name(f"{path.name}.{os.urandom(4).hex()}.aside"))


@contextmanager
def refresh_lock(profile: Profile) -> Iterator[None]:
    """Held while a session is refreshed: refresh tokens rotate, two processes must take turns.

    Raises DiskError, and InUseError where another process does not give it back.
    """
    path = _file(profile).with_suffix(".lock")
    with ExitStack() as stack:
        with translate_disk_errors(
            "The session can't be renewed",
            path,
            instead="set LORA_TUI_HOME to another directory",
        ):
            make_private_directory(path.parent)
            holder = stack.enter_context(locked_file(path, patience=_RENEWAL_SECONDS))
        if holder is not None:
            raise in_use_error("Another lora-tui is renewing the session", holder, path)
        yield


def session_of_token(token: Secret) -> Session:
    """Read who an access token belongs to and when it ends; the backend checks its signature."""
    claims = claims_of(token.reveal())
    user_id, expiry = claims.get("sub"), _moment(claims.get("exp"))
    if not is_session_of(user_id, token.reveal(), "") or expiry is None:
        raise AuthenticationError(
            "LORA_TUI_ACCESS_TOKEN is not an access token of Supabase",
            remedy="give the access_token of a session, or run `lora-tui login`",
        )
    return Session(
        access_token=token,
        refresh_token=Secret(""),
        expires_at=expiry,
        user_id=str(user_id),
        email=email_of(claims),
    )


def expiry_of(token: str) -> datetime | None:
    """When an access token ends, as it says itself."""
    return _moment(claims_of(token).get("exp"))


def email_of(data: Mapping[str, Any]) -> str:
    """The address of an account; empty where there is none that could be shown."""
    email = data.get("email")
    return email if isinstance(email, str) and len(email) <= _LONGEST_EMAIL else ""


def _moment(seconds: object) -> datetime | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _session(data: Mapping[str, Any]) -> Session | None:
    """None for a damaged one."""
    user_id, expires_at = data.get("user_id"), parse_timestamp(data.get("expires_at"))
    access_token, refresh_token = data.get("access_token"), data.get("refresh_token")
    if expires_at is None or not is_session_of(user_id, access_token, refresh_token):
        return None
    return Session(
        access_token=Secret(str(access_token)),
        refresh_token=Secret(str(refresh_token)),
        expires_at=expires_at,
        user_id=str(user_id),
        email=email_of(data),
    )


def _read_file(profile: Profile) -> Mapping[str, Any]:
    try:
        return read_session_file(str(_file(profile)))
    except OSError as error:
        raise disk_error(error, "The stored session can't be read", _file(profile)) from error


def _write_file(profile: Profile, data: Mapping[str, str]) -> None:
    path = _file(profile)
    try:
        _clear_place(path)
        write_private_file(path, json.dumps(data))
    except OSError as error:
        raise disk_error(
            error,
            "The session can't be stored",
            path,
            instead="set LORA_TUI_HOME to another directory",
        ) from error


def _keyring_name(profile: Profile) -> str:
    """Two homes of one user, each with a session of the same project, don't meet."""
    home = hashlib.sha256(str(profile.paths.state_dir).encode()).hexdigest()[:8]
    return f"{profile.key}-{home}"


def _file(profile: Profile) -> Path:
    return profile.paths.state_dir / session_name(profile.key)
