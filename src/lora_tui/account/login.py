"""Sign in, sign out, and keep a session renewed: the one way, for commands, screens and writers.

Everything here blocks; screens call it in a thread. Nothing typed is logged, and the network code
is imported when it is needed.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from lora_tui.account import notice, sessions
from lora_tui.account.sessions import KeyringSessionError, Session
from lora_tui.config.kinds import check_in_header, checked_url
from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.errors import (
    AuthenticationError,
    ConfigError,
    DiskError,
    LoraTuiError,
    UsageError,
    WrongPasswordError,
)
from lora_tui.secret import Secret

if TYPE_CHECKING:
    import httpx

    from lora_tui.gateway.auth import SessionAuth

PLACES: Final = {sessions.KEYRING: "the keyring", sessions.FILE: "a file only you can read"}
"""Where a session is kept, in words for users."""


class SignedOut(NamedTuple):
    """What signing out did."""

    removed: bool
    """Whether anything was stored."""
    not_told: LoraTuiError | None = None
    """Why the backend did not end the session; it is removed from this machine all the same."""


def sign_in(profile: Profile) -> Session:
    """The session in force; without one, sign in with the configured e-mail address and password.

    The new session is stored for its account, if that is possible; see `sessions.keep_session`.
    Of two processes that do this at once, the second uses the session of the first. Raises
    AuthenticationError where there is no session and no password, or the password is wrong;
    ConfigError, UnreachableError, InUseError, and DiskError where the stored session can't be read.
    """
    session = _load_session(profile)
    if session is not None:
        return session
    if not profile.email or not profile.password:
        raise sessions.nobody_signed_in(profile)
    with ExitStack() as stack:
        with suppress(DiskError):  # what can't be locked can't be stored either
            stack.enter_context(sessions.refresh_lock(profile))
        session = _load_session(profile)
        if session is None:
            session = configured_session(profile, profile.email, profile.password, patient=True)
            _keep_session(profile, session)
        return session


def session_auth(profile: Profile) -> SessionAuth:
    """Authentication for httpx: the session of `sign_in`, renewed before it expires.

    Only one process renews it at a time. Where the backend has ended the session, and a password
    is configured, it signs in again.
    """
    from lora_tui.gateway.auth import SessionAuth

    def keep(session: Session) -> None:
        """Store a renewed session, unless the user has signed out or changed accounts meanwhile."""
        stored = sessions.signed_in(profile)
        if stored is not None and stored.user_id == session.user_id:
            _keep_session(profile, session._replace(email=stored.email or session.email))

    email, password = profile.email, profile.password
    sign_in_again = None
    if email and password and not profile.access_token:
        sign_in_again = partial(configured_session, profile, email, password)
    return SessionAuth(
        profile.url,
        profile.anon_key,
        sign_in(profile),
        sign_in_again=sign_in_again,
        token_source=profile.source("access_token") if profile.access_token else "",
        on_refresh=keep,
        reload=lambda: _load_session(profile),
        lock=lambda: sessions.refresh_lock(profile),
    )


def new_session(
    profile: Profile, email: str, password: Secret, *, patient: bool = False
) -> Session:
    """Sign in by e-mail address and password. Nothing is stored.

    `patient`: retry for half a minute; a form retries only once, because a person waits. Raises
    AuthenticationError, ConfigError (the project's key), UnreachableError.
    """
    from lora_tui.gateway import auth

    email = email.strip()
    with _client(profile.url, profile.anon_key, patient=patient) as client:
        session = auth.sign_in(profile.url, profile.anon_key, email, password, client=client)
    # Commands find the session by the address that was typed, so it replaces the server's spelling.
    same = session.email.casefold() == email.casefold()
    return session if same else session._replace(email=email)


def configured_session(
    profile: Profile, email: str, password: Secret, *, patient: bool = False
) -> Session:
    """Like `new_session`; the error of a wrong password says where both are set."""
    try:
        return new_session(profile, email, password, patient=patient)
    except WrongPasswordError as error:
        raise WrongPasswordError(
            str(error),
            details=error.details,
            remedy=f"check {profile.source('email')} and {profile.source('password')}",
        ) from None


def log_in(
    profile: Profile,
    email: str,
    password: Secret,
    *,
    replace: bool,
    patient: bool = False,
    shown_user_id: str | None = None,
) -> tuple[Session, str]:
    """Sign in by e-mail address and password; returns the stored session and where it is kept.

    The second is a key of PLACES. `replace`: the session may take the place of another account's;
    without it that raises AuthenticationError, and so does an account that the configuration does
    not name. `shown_user_id`: whose models are shown, where that is known; else it is the stored
    account. `patient`: see `new_session`. Raises AuthenticationError (also where an access token
    is configured), ConfigError (the project's key), UnreachableError, DiskError.
    """
    require_no_token(profile, "sign in")
    is_configured = email == profile.email and password == profile.password
    sign = configured_session if is_configured else new_session
    session = sign(profile, email, password, patient=patient)
    kept_in = _store_session(profile, session, replace=replace, shown_user_id=shown_user_id)
    return session, kept_in


def sign_out(profile: Profile, *, offline: bool = False) -> SignedOut:
    """End the stored session in force, here and (unless `offline`) at the backend.

    A session of another account that is stored too is left alone. Raises AuthenticationError
    where an access token is configured, because that session is not stored; DiskError.
    """
    require_no_token(profile, "sign out")
    account = sessions.signed_in(profile)
    session, failure = None, None
    if account is not None and not offline:
        try:
            session = sessions.load_session(profile)
        except LoraTuiError as error:
            session, failure = None, error
    removed = sessions.delete_session(profile)  # first: the backend may take a while to answer
    if session is not None:
        from lora_tui.gateway import auth

        try:
            with _client(profile.url, profile.anon_key) as client:
                auth.sign_out(profile.url, profile.anon_key, session, client=client)
        except LoraTuiError as error:
            failure = error
    return SignedOut(removed, failure)


def require_no_token(profile: Profile, intent: str) -> None:
    """Raise AuthenticationError where an access token is configured; `intent` is a verb."""
    if profile.access_token:
        raise AuthenticationError(
            f"Can't {intent} while {profile.source('access_token')} is set:"
            " that session is not stored here, and no stored session was changed",
            remedy="remove the token from the configuration first",
        )


def another_account(email: str) -> UsageError:
    """The error where another program has signed in to another account than the one shown."""
    return UsageError(
        "Another account has signed in to this profile meanwhile",
        details=email or None,
        remedy="quit, and start lora-tui again to see its models",
    )


class Login:
    """Sign in to one project from a form; what works is stored."""

    def __init__(
        self, profile: Profile, *, is_new: bool = False, user_id: str | None = None
    ) -> None:
        """`is_new`: the configuration file does not have the profile yet; a login adds it.

        `user_id`: whose models are shown, where that is known.
        """
        self.profile = profile
        self._is_new = is_new
        self._user_id = user_id

    def with_password(self, email: str, password: Secret) -> str:
        """Sign in and store the session; returns where it is kept, in words (`PLACES`).

        Raises AuthenticationError, ConfigError (the key), UnreachableError, DiskError.
        """
        _, kept_in = log_in(
            self.profile,
            email,
            password,
            replace=self._is_new,
            shown_user_id=self._user_id,
        )
        return self._configured(kept_in)

    def with_token(self, token: Secret) -> str:
        """Store a session that was made elsewhere; returns and raises like `with_password`."""
        from lora_tui.gateway import auth

        profile = self.profile
        require_no_token(profile, "sign in")
        if token.reveal().startswith("sb_") or token.reveal() == profile.anon_key:
            raise AuthenticationError(
                "That is a key of the project, not an access token",
                remedy="sign in by e-mail address and password",
            )
        check_in_header(token.reveal(), "The access token")
        with _client(profile.url, profile.anon_key) as client:
            session = auth.session_from_tokens(
                profile.url, profile.anon_key, token, Secret(""), client=client
            )
        kept_in = _store_session(
            profile, session, replace=self._is_new, shown_user_id=self._user_id
        )
        return self._configured(kept_in)

    def _configured(self, kept_in: str) -> str:
        """Add a new profile to the configuration file; returns `kept_in` in words."""
        profile = self.profile
        if self._is_new:
            from lora_tui.config.write import set_values

            values = {"url": profile.url, "anon_key": profile.anon_key}
            try:
                set_values(profile.paths.config_file, profile.name, values)
            except LoraTuiError:
                with suppress(LoraTuiError):
                    sessions.delete_session(profile)
                raise
        return PLACES[kept_in]


def check_project(url: str, anon_key: str) -> None:
    """Check the address of a project and its public key.

    Raises ConfigError where the project refuses the key or there is none at the address, and
    UnreachableError.
    """
    from lora_tui.gateway.responses import check, is_from_service

    if not url or not anon_key:
        raise ConfigError("The project's URL and its public key are both needed")
    check_in_header(anon_key.strip(), "The public key")
    with _client(checked_url(url, "The project's URL"), anon_key) as client:
        response = client.get("/auth/v1/health")
        if response.status_code in (401, 403) and is_from_service(response):
            raise ConfigError(
                "The project does not accept this key",
                remedy="copy the public (anon or publishable) key from the project's API settings",
            )
        if response.status_code == 404:  # Supabase always answers at this path
            raise ConfigError(
                "There is no Supabase project at this address",
                remedy="copy the URL from the project's API settings",
            )
        check(response, "reach the project")


def new_profile(name: str, paths: Paths, url: str, anon_key: str) -> Profile:
    """A profile that is not in the configuration file yet. Raises ConfigError."""
    return Profile(
        name=name,
        paths=paths,
        url=checked_url(url.strip(), "The project's URL"),
        anon_key=anon_key.strip(),
    )


def _store_session(
    profile: Profile, session: Session, *, replace: bool, shown_user_id: str | None = None
) -> str:
    """Store a new session; the parameters and what it raises: see `log_in`."""
    if replace:
        return sessions.save_session(profile, session)
    before = sessions.account_of(profile)
    shown = shown_user_id or (before.user_id if before else session.user_id)
    if shown != session.user_id:
        raise AuthenticationError(
            "That is another account than the one whose models are shown",
            remedy="quit, and run `lora-tui login` to change accounts",
        )
    if before is not None and before.user_id != shown:
        raise another_account(before.email)
    if not sessions.is_configured_account(profile, session.email):
        raise AuthenticationError(
            f"That is another account than {profile.email}, which the configuration names",
            remedy=f"sign in as that account, or remove {profile.source('email')}",
        )
    return sessions.keep_session(profile, session)


def _load_session(profile: Profile) -> Session | None:
    """The stored session; None too where only the keyring fails and a password is configured."""
    try:
        return sessions.load_session(profile)
    except KeyringSessionError:
        if sessions.has_credentials(profile):
            return None
        raise


def _keep_session(profile: Profile, session: Session) -> None:
    """Store the session; where the disk refuses it, say so: it can be used all the same."""
    try:
        sessions.keep_session(profile, session)
    except DiskError as error:
        place = f" ({error.details})" if error.details else ""
        notice.warn(f"{error}{place}; this command uses it all the same")


def _client(url: str, anon_key: str, *, patient: bool = False) -> httpx.Client:
    """A client that sends the project's public key. It retries once; if `patient`, for 30 s."""
    from lora_tui.gateway.auth import KeyAuth
    from lora_tui.gateway.http import build_client
    from lora_tui.gateway.retry import RETRY, RetryPolicy

    once_more = RetryPolicy(total=1, status_forcelist=RETRY.status_forcelist)
    return build_client(url, auth=KeyAuth(anon_key), retry=RETRY if patient else once_more)
