"""The stored session of a profile, and the account in force.

The tokens are in the keyring where there is one, else in a private file. The file names the account
in both cases, so that commands that only read the cache never open a keyring.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.account import keyring_store
from lora_tui.account.keyring_store import KeyringError
from lora_tui.account.tokens import (
    claims_of,
    is_session_of,
    is_user_id,
    parse_object,
    read_session_file,
)
from lora_tui.cache.metadata import Owner
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.config.paths import digest
from lora_tui.config.table import Profile
from lora_tui.errors import AuthenticationError, DiskError, NotSignedInError
from lora_tui.files import (
    disk_error,
    make_private_directory,
    translate_disk_errors,
    write_private_file,
)
from lora_tui.secret import Secret

KEYRING: Final = "keyring"
FILE: Final = "file"

_RENEWAL_SECONDS: Final = 60.0
"""The longest wait while another process renews the session, which is a few requests."""

_LONGEST_EMAIL: Final = 1000


class Session(NamedTuple):
    """A user's tokens at one Supabase project."""

    access_token: Secret
    refresh_token: Secret
    """Empty where only an access token was given."""
    expires_at: datetime
    user_id: str
    email: str


class KeyringSessionError(NotSignedInError):
    """The keyring that has the session does not give it."""

    default_remedy = (
        "unlock the keyring and try again, or sign in again with `lora-tui login`"
        " (LORA_TUI_NO_KEYRING=1 keeps the session in a file)"
    )


class SignedIn(NamedTuple):
    """Whose session is stored."""

    user_id: str
    email: str
    """May be empty."""


def cache_owner(profile: Profile, user_id: str) -> Owner:
    """The owner of the cache of a user of this project."""
    return Owner(user_id, _project(profile))


def signed_in(profile: Profile) -> SignedIn | None:
    """Whose session is in force, without reading the tokens.

    The access token of the configuration goes first, then the stored session. Where the profile
    names an e-mail address, only a session of that account counts.
    """
    if profile.access_token:
        session = session_of_token(profile.access_token, profile.source("access_token"))
        return SignedIn(session.user_id, session.email)
    return _account_of(_read_file(_file(profile)))


def account_of(profile: Profile) -> SignedIn | None:
    """The account whose cache is shown; needs no network.

    Like `signed_in`; without a session the account of the configured e-mail address and password,
    if a cache on this disk notes that address. Raises DiskError.
    """
    account = signed_in(profile)
    if account is None and has_credentials(profile):
        account = _cached_account(profile)
    return account


def last_email(profile: Profile) -> str:
    """Who signed in last, or who is configured, for a form; may be empty."""
    known = signed_in(profile)
    return (known.email if known else "") or profile.email or ""


def has_credentials(profile: Profile) -> bool:
    """Whether the configuration has an e-mail address and a password to sign in with."""
    return bool(profile.email and profile.password)


def is_configured_account(profile: Profile, email: str) -> bool:
    """Whether a session with this address may be used: it is the configured one, or none is."""
    if not profile.email:
        return True
    if not email:  # an access token that names no address: only a password can tell whose it is
        return not profile.password
    return email.casefold() == profile.email.strip().casefold()


def nobody_signed_in(profile: Profile) -> NotSignedInError:
    """The error for a profile that has neither a session nor what `login` needs."""
    if has_credentials(profile):
        return NotSignedInError(
            f"Nobody is signed in to profile {profile.name},"
            f" and {profile.email} has no cache here yet",
            remedy="run `lora-tui sync`, which signs in with the configured password",
        )
    return no_session(profile)


def no_session(profile: Profile) -> NotSignedInError:
    """The error where no session of the account in force is stored; names another's session."""
    other = other_account(profile)
    if other is not None and signed_in(profile) is None:
        return NotSignedInError(
            f"{profile.email} is not signed in to profile {profile.name}",
            details=f"the stored session is {other.email}'s",
            remedy="run `lora-tui login`, or remove the e-mail address from the configuration"
            f" ({profile.source('email')})",
        )
    return NotSignedInError(
        f"Nobody is signed in to profile {profile.name}",
        remedy="run `lora-tui login`",
    )


def other_account(profile: Profile) -> SignedIn | None:
    """Whose stored session is there, where the configuration names another account."""
    if not profile.email:
        return None
    account = _account_of(_read_file(_profile_file(profile)))
    return None if account is None or is_configured_account(profile, account.email) else account


def is_damaged(profile: Profile) -> bool:
    """Whether the file of the stored session exists and holds no session. Raises DiskError."""
    file = _file(profile)
    return os.path.lexists(file) and _account_of(_read_file(file)) is None


def kept_in(profile: Profile) -> str:
    """Where the stored session's tokens are: KEYRING or FILE."""
    return _kept_in(_file(profile))


def load_session(profile: Profile) -> Session | None:
    """The session in force, like `signed_in`, with its tokens.

    Raises KeyringSessionError where a keyring has them and does not give them now.
    """
    if profile.access_token:
        return session_of_token(profile.access_token, profile.source("access_token"))
    file = _file(profile)
    data = _read_file(file)
    if data.get("kept_in") == KEYRING:
        try:
            text = keyring_store.read(_keyring_name(profile, file), patience=_patience(profile))
        except KeyringError as error:
            raise KeyringSessionError(f"The session is in the keyring, which {error}") from error
        if text is None:
            raise KeyringSessionError("The session is in the keyring, which does not give it")
        session = _session(parse_object(text))
        return session if session and session.user_id == data.get("user_id") else None
    return _session(data)


def save_session(profile: Profile, session: Session) -> str:
    """Store it as the profile's session, in place of any other.

    Returns KEYRING, or FILE (mode 0600, replaced in one step). Raises DiskError.
    """
    file = _profile_file(profile)
    kept = _save(profile, file, session)
    own = _account_file(profile, session.email)
    if os.path.lexists(own):  # what `keep_session` stored for this account
        _delete(profile, own)
    return kept


def keep_session(profile: Profile, session: Session) -> str:
    """Store it for its account, and leave a stored session of another account as it is.

    The profile has one session; an account that the configuration names beside it gets a file of
    its own. Returns and raises like `save_session`.
    """
    account = _account_of(_read_file(_profile_file(profile)))
    if account is None or account.user_id == session.user_id:
        return save_session(profile, session)
    return _save(profile, _account_file(profile, session.email), session)


def delete_session(profile: Profile) -> bool:
    """Remove the stored session in force, or what is in its place; True where there was anything.

    Raises DiskError.
    """
    file = _file(profile)
    existed = os.path.lexists(file)
    _delete(profile, file)
    return existed


@contextmanager
def refresh_lock(profile: Profile) -> Iterator[None]:
    """A lock between processes, held while a session is renewed: a refresh token works once.

    Raises DiskError, and InUseError where another process holds it for too long.
    """
    from lora_tui.locks.file_lock import locked_file  # late: for its threads
    from lora_tui.processes import in_use_error

    path = _profile_file(profile).with_suffix(".lock")
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


def session_of_token(token: Secret, source: str = "This") -> Session:
    """The account of an access token and when it ends; only the backend checks the signature.

    `source`: where the token is set, in words. Raises AuthenticationError where it is none.
    """
    claims = claims_of(token.reveal())
    user_id, expiry = claims.get("sub"), _moment(claims.get("exp"))
    if not is_session_of(user_id, token.reveal(), "") or expiry is None:
        raise AuthenticationError(
            f"{source} is not an access token of Supabase",
            remedy="replace it with the access_token of a session,"
            " or remove it and run `lora-tui login`",
        )
    return Session(
        access_token=token,
        refresh_token=Secret(""),
        expires_at=expiry,
        user_id=str(user_id),
        email=email_of(claims),
    )


def expiry_of(token: str) -> datetime | None:
    """When an access token ends, by its claims; None where they do not say."""
    return _moment(claims_of(token).get("exp"))


def email_of(data: Mapping[str, Any]) -> str:
    """The e-mail address of an account; empty where there is none of a usual length."""
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


def _account_of(data: Mapping[str, Any]) -> SignedIn | None:
    """Whose session a file holds; None for a damaged one."""
    if data.get("kept_in") == KEYRING:
        user_id = data.get("user_id")
        return SignedIn(str(user_id), email_of(data)) if is_user_id(user_id) else None
    session = _session(data)
    return None if session is None else SignedIn(session.user_id, session.email)


def _cached_account(profile: Profile) -> SignedIn | None:
    """The account of the configured e-mail address, as a cache on this disk notes it."""
    from lora_tui.cache.metadata import find_owner

    email, directory = profile.email or "", profile.paths.cache_dir
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - a glob is empty after an error
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, "The directory of the cache can't be read", directory) from error
    caches = [
        directory / name
        for name in names
        if name.startswith(f"{profile.key}-") and name.endswith(".sqlite3")
    ]
    user_id = find_owner(caches, email, _project(profile))
    return None if user_id is None or not is_user_id(user_id) else SignedIn(user_id, email)


def _save(profile: Profile, file: Path, session: Session) -> str:
    data = {
        "access_token": session.access_token.reveal(),
        "refresh_token": session.refresh_token.reveal(),
        "expires_at": timestamp_text(session.expires_at),
        "user_id": session.user_id,
        "email": session.email,
    }
    name = _keyring_name(profile, file)
    before = _read_file_if_possible(file)
    patience, refusal = _patience(profile), None
    try:
        # the demo's session is not worth a keyring: its backend is new each time
        if not profile.identity and keyring_store.write(name, json.dumps(data), patience=patience):
            named = {"kept_in": KEYRING, "user_id": session.user_id, "email": session.email}
            try:
                if before != named:
                    _write_file(file, named)
            except DiskError:
                keyring_store.remove(name)
                raise
            return KEYRING
    except KeyringError as error:
        refusal = error
    _write_file(file, data)
    if before.get("kept_in") == KEYRING:
        keyring_store.remove(name)
    if refusal is not None and "access_token" not in before:
        from lora_tui.account import notice

        notice.warn(f"The keyring {refusal}: the session is kept in a file only you can read")
    return FILE


def _delete(profile: Profile, file: Path) -> None:
    if _read_file_if_possible(file).get("kept_in") == KEYRING:
        keyring_store.remove(_keyring_name(profile, file))
    try:
        _clear_place(file)
        file.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, "The stored session can't be removed", file) from error


def _kept_in(file: Path) -> str:
    return KEYRING if _read_file(file).get("kept_in") == KEYRING else FILE


def _read_file_if_possible(file: Path) -> Mapping[str, Any]:
    """Like `_read_file`; empty where it can't be read: it can still be replaced and removed."""
    try:
        return _read_file(file)
    except DiskError:
        return {}


def _clear_place(path: Path) -> None:
    """Move a directory away that has the session's name; an empty one is removed."""
    if path.is_symlink() or not path.is_dir():
        return
    try:
        path.rmdir()
    except OSError:
        path.rename(path.with_name(f"{path.name}.{os.urandom(4).hex()}.aside"))


def _read_file(file: Path) -> Mapping[str, Any]:
    try:
        return read_session_file(file)
    except OSError as error:
        raise disk_error(error, "The stored session can't be read", file) from error


def _write_file(file: Path, data: Mapping[str, str]) -> None:
    try:
        _clear_place(file)
        write_private_file(file, json.dumps(data))
    except OSError as error:
        raise disk_error(
            error,
            "The session can't be stored",
            file,
            instead="set LORA_TUI_HOME to another directory",
        ) from error


def _patience(profile: Profile) -> float:
    """Seconds to wait for the keyring."""
    if has_credentials(profile):
        return keyring_store.UNATTENDED_SECONDS
    return keyring_store.ATTENDED_SECONDS


def _keyring_name(profile: Profile, file: Path) -> str:
    """Two homes of one user, each with a session of the same project, have two names."""
    home = digest(str(profile.paths.state_dir))[:8]
    return f"{file.stem}-{home}"


def _file(profile: Profile) -> Path:
    """The file of the stored session in force: the profile's, or the configured account's own."""
    file = _profile_file(profile)
    if not profile.email:
        return file
    account = _account_of(_read_file(file))
    if account is not None and is_configured_account(profile, account.email):
        return file
    own = _account_file(profile, profile.email)
    return own if account is not None or os.path.lexists(own) else file


def _profile_file(profile: Profile) -> Path:
    return profile.paths.state_dir / "sessions" / f"{profile.key}.json"


def _account_file(profile: Profile, email: str) -> Path:
    """The file of an account's own session, beside the profile's."""
    own = digest(email.strip().casefold())[:12]
    return profile.paths.state_dir / "sessions" / f"{profile.key}-{own}.json"


def _project(profile: Profile) -> str:
    return profile.identity or profile.url
