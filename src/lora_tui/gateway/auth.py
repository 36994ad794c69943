"""Supabase Auth: signing in, keeping a session alive, and the headers of each request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import httpx

from lora_tui import clock
from lora_tui.account.sessions import Session, email_of, expiry_of, session_of_token
from lora_tui.account.tokens import is_session_of, is_user_id
from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    ConfigError,
    DiskError,
    LoraTuiError,
    SessionEndedError,
    UnreachableError,
    WrongPasswordError,
)
from lora_tui.gateway.http import RENEWABLE, UNAUTHORIZED_REPEATS, build_client
from lora_tui.gateway.responses import (
    LOGIN_SOURCE,
    TokenRefusal,
    effective_status,
    error_body,
    is_from_service,
    refusal_details,
    token_refusal,
    token_remedy,
)
from lora_tui.gateway.retry import RETRY
from lora_tui.gateway.vendor import Exchange, auth_client, translated
from lora_tui.secret import Secret
from lora_tui.text import without_secrets

if TYPE_CHECKING:
    from supabase_auth.types import Session as VendorSession

__all__ = [
    "KeyAuth",
    "Session",
    "SessionAuth",
    "fetch_user",
    "refresh",
    "session_from_tokens",
    "sign_in",
    "sign_out",
]

REFRESH_BEFORE: Final = timedelta(seconds=60)
"""A session with less than this left is refreshed before it is used."""
_NO_SESSION: Final = "the answer holds no session"
_VERSION_HEADER: Final = "x-supabase-api-version"
_NOT_THE_PASSWORD: Final = (
    "user_banned",
    "email_provider_disabled",
    "provider_disabled",
    "captcha_failed",
    "mfa_verification_required",
)
"""Error codes of Auth for which another password does not help."""


def sign_in(
    url: str,
    anon_key: str,
    email: str,
    password: Secret,
    *,
    client: httpx.Client | None = None,
) -> Session:
    """A new session by e-mail and password. Raises AuthenticationError, UnreachableError."""
    if not email or not password:
        raise _wrong_password(None)
    with _client(url, anon_key, client) as http:
        try:
            with translated("sign in", unusable=_NO_SESSION) as exchange:
                answer = auth_client(url, http).sign_in_with_password(
                    {"email": email, "password": password.reveal()}
                )
        except LoraTuiError:
            refusal = _refusal(exchange)
            if refusal is None:
                raise
            if effective_status(refusal) in (400, 403, 422) and is_from_service(refusal):
                raise _sign_in_error(refusal) from None
            _refuse_bad_key(refusal)
            raise
    return _session(answer.session, "sign in")


def refresh(
    url: str, anon_key: str, session: Session, *, client: httpx.Client | None = None
) -> Session:
    """A renewed session; the old refresh token is used up by this.

    Raises SessionEndedError where the service refuses it several times in a row, UnreachableError
    for every other failure.
    """
    if not session.refresh_token:
        raise SessionEndedError("The session has ended")
    what = "renew the session"
    with _client(url, anon_key, client) as http:
        attempts = RETRY
        while True:
            try:
                # The same token may be sent again at once after a lost response: Supabase allows
                # its reuse for some seconds. Not repeating it would lose the session for certain.
                with translated(what, repeatable=True, unusable=_NO_SESSION) as exchange:
                    answer = auth_client(url, http).refresh_session(session.refresh_token.reveal())
                return _session(answer.session, what, session)
            except LoraTuiError:
                refusal = _refusal(exchange)
                if refusal is None:
                    raise
                _refuse_bad_key(refusal)
                if not _is_refused(refusal):
                    raise
                if attempts.attempts_made >= UNAUTHORIZED_REPEATS:  # it holds
                    raise _ended(refusal) from None
            attempts = attempts.wait(refusal)


def fetch_user(
    url: str, anon_key: str, access_token: Secret, *, client: httpx.Client | None = None
) -> tuple[str, str]:
    """Id and e-mail address (may be empty) of the account that the token belongs to."""
    token = _checked_token(access_token)
    with _client(url, anon_key, client) as http:
        try:
            with translated("read the account", unusable="the answer names no user") as exchange:
                answer = auth_client(url, http).get_user(token)
        except LoraTuiError:
            refusal = _refusal(exchange)
            if refusal is None:
                raise
            _refuse_bad_key(refusal)
            if _is_refused(refusal):
                raise _ended(refusal) from None
            raise
    if answer is None or not is_user_id(answer.user.id):
        raise BackendError("Could not read the account: the answer names no user")
    return answer.user.id, email_of({"email": answer.user.email})


def sign_out(
    url: str, anon_key: str, session: Session, *, client: httpx.Client | None = None
) -> None:
    """End the session at the backend. Succeeds if it has ended already."""
    token = _checked_token(session.access_token)
    with _client(url, anon_key, client) as http:
        try:
            with translated("sign out") as exchange:
                auth_client(url, http).admin.sign_out(token, "local")
        except LoraTuiError:
            refusal = _refusal(exchange)
            if refusal is None or not _is_refused(refusal):
                raise


def session_from_tokens(
    url: str,
    anon_key: str,
    access_token: Secret,
    refresh_token: Secret,
    *,
    client: httpx.Client | None = None,
) -> Session:
    """A session made of existing tokens. Asks the backend whose they are."""
    session = session_of_token(access_token)._replace(refresh_token=refresh_token)
    if refresh_token and _expires_soon(session):
        return refresh(url, anon_key, session, client=client)
    user_id, email = fetch_user(url, anon_key, access_token, client=client)
    if user_id != session.user_id:
        raise BackendError("Could not read the account: the answer names another user")
    return session._replace(user_id=user_id, email=email)


class KeyAuth(httpx.Auth):
    """Authorises by a project key: `apikey` always, `Authorization` only if the key is a JWT.

    A session's token that the sender has set stays; a key that is no JWT is taken out of there.
    """

    def __init__(self, key: Secret | str) -> None:
        self._key = key if isinstance(key, Secret) else Secret(key, public=True)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["apikey"] = self._key.reveal()
        if request.headers.get("Authorization", "").lower().startswith("bearer sb_"):
            del request.headers["Authorization"]
        if _is_jwt(self._key) and "Authorization" not in request.headers:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class SessionAuth(httpx.Auth):
    """Authorises by a user's session; renews it before it expires, and once after a refusal.

    Thread-safe: if many requests find the session expired, one of them renews it. `lock` is held
    while the session is renewed (a lock between processes), `reload` is called first (another
    process may have renewed it), `on_refresh` is called with the new session. `sign_in_again`
    makes a new session where Auth refuses to renew this one; it may raise what `sign_in` raises.
    `token_source` says in words where the access token is configured, if the session is made of it.
    """

    def __init__(
        self,
        url: str,
        anon_key: str,
        session: Session,
        *,
        on_refresh: Callable[[Session], None] | None = None,
        reload: Callable[[], Session | None] | None = None,
        lock: Callable[[], AbstractContextManager[None]] = nullcontext,
        sign_in_again: Callable[[], Session] | None = None,
        token_source: str = "",
        client: httpx.Client | None = None,
    ) -> None:
        self._url = url
        self._anon_key = Secret(anon_key, public=True)
        self._session = session
        self._on_refresh = on_refresh
        self._reload = reload
        self._process_lock = lock
        self._sign_in_again = sign_in_again
        self._token_source = token_source
        self._client = client
        self._thread_lock = threading.Lock()
        self._used_up: set[Secret] = set()
        """Used refresh tokens: a stored session with one of them is older than ours."""
        self._refused: tuple[Secret, SessionEndedError] | None = None
        """The refresh token that Auth refused: other requests that wait do not send it again."""

    @property
    def session(self) -> Session:
        """The current session."""
        return self._session

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        session = self._session
        if session.refresh_token and _expires_soon(session):
            try:
                session = self._renew(session)
            except UnreachableError:
                if session.expires_at <= clock.now():
                    raise  # else the session is still valid: the next request tries again
        self._add_headers(request, session)
        request.extensions[RENEWABLE] = bool(session.refresh_token)
        response = yield request
        request.extensions[RENEWABLE] = False
        refusal = token_refusal(response)
        if refusal is None:
            return
        if not self._session.refresh_token and refusal is not TokenRefusal.EXPIRED:
            return  # not the session's fault: `error_of` names the reason
        session = self._renew(session)
        if isinstance(request.stream, httpx.ByteStream):
            self._add_headers(request, session)
            yield request
        # A streamed body can't be sent again: its sender gets the refusal, and tries again.

    def _add_headers(self, request: httpx.Request, session: Session) -> None:
        request.headers["apikey"] = self._anon_key.reveal()
        request.headers["Authorization"] = f"Bearer {_checked_token(session.access_token)}"
        if self._token_source:
            request.extensions[LOGIN_SOURCE] = self._token_source

    def _renew(self, stale: Session) -> Session:
        with self._thread_lock:
            if self._session.access_token != stale.access_token:
                return self._session
            with ExitStack() as stack:
                try:
                    stack.enter_context(self._process_lock())
                except DiskError as error:
                    # it could not be stored once renewed, and the stored one would be used up
                    self._session = self._sign_in_as(stale, error)
                    if self._on_refresh is not None:
                        self._on_refresh(self._session)
                    return self._session
                latest = self._reload_session(stale)
                if latest.access_token != stale.access_token and not _expires_soon(latest):
                    self._session = latest
                    return latest
                renewed = self._successor(latest)
                self._used_up.add(latest.refresh_token)
                self._session = (
                    renewed  # store it before anything else can fail: the old session is used up
                )
                if self._on_refresh is not None:
                    self._on_refresh(renewed)
            return renewed

    def _successor(self, session: Session) -> Session:
        """The renewed session, or a new one of the same account. Raises SessionEndedError."""
        if self._refused is None or self._refused[0] != session.refresh_token:
            try:
                return refresh(self._url, self._anon_key.reveal(), session, client=self._client)
            except SessionEndedError as error:
                self._refused = session.refresh_token, error
        return self._sign_in_as(session, self._refused[1])

    def _sign_in_as(self, session: Session, failure: LoraTuiError) -> Session:
        """A new session of the same account; raises `failure` where no password makes one."""
        if self._sign_in_again is None:
            if self._token_source:
                failure.remedy = token_remedy(self._token_source)
            raise failure
        renewed = self._sign_in_again()
        if renewed.user_id != session.user_id:
            raise failure
        return renewed

    def _reload_session(self, ours: Session) -> Session:
        """The stored session if another process has replaced ours; compares tokens, not times."""
        stored = self._reload() if self._reload is not None else None
        if stored is None or stored.user_id != ours.user_id:
            return ours
        return ours if stored.refresh_token in self._used_up else stored


def _refusal(exchange: Exchange) -> httpx.Response | None:
    """The response that made a call fail, where its status is the reason."""
    response = exchange.response
    return response if response is not None and not response.is_success else None


def _sign_in_error(response: httpx.Response) -> AuthenticationError:
    """The error for an e-mail address and password that Auth refuses."""
    body = error_body(response)
    code = _error_code(response)
    if code == "email_not_confirmed":
        return AuthenticationError(
            "This e-mail address is not confirmed yet",
            remedy="open the link in the confirmation e-mail",
        )
    if code in _NOT_THE_PASSWORD:
        return AuthenticationError(
            "The project does not let this account sign in",
            details=refusal_details(response),
            remedy="ask who runs the project",
        )
    return _wrong_password(
        without_secrets(body.get("msg") or body.get("message") or code or body.get("code"))
    )


def _wrong_password(details: str | None) -> WrongPasswordError:
    return WrongPasswordError(
        "Wrong e-mail address or password",
        details=details or None,
        remedy="check both; the password is not stored anywhere",
    )


def _ended(refusal: httpx.Response) -> SessionEndedError:
    return SessionEndedError("The session has ended", details=refusal_details(refusal))


def _error_code(response: httpx.Response) -> str:
    """Auth's own code of an error; empty in errors of the API gateway before it.

    The vendor's client asks for a version of the API in which it is the `code`, elsewhere a number.
    """
    body = error_body(response)
    code = body.get("code") if _VERSION_HEADER in response.headers else None
    return str(body.get("error_code") or body.get("error") or code or "")


def _is_refused(response: httpx.Response) -> bool:
    """Whether Auth itself refuses the session; False for clock differences and for proxies."""
    return (
        effective_status(response) in (400, 401, 403, 404, 422)
        and is_from_service(response)
        and token_refusal(response) is not TokenRefusal.FUTURE
    )


def _refuse_bad_key(response: httpx.Response) -> None:
    """Raise for a 401 without a code of Auth: the API gateway sends it for a wrong project key."""
    if response.status_code == 401 and is_from_service(response) and not _error_code(response):
        raise ConfigError(
            "The project does not accept its key",
            details=refusal_details(response),
            remedy="check its URL and its key (`lora-tui config show`); both are of one project",
        ) from None


@contextmanager
def _client(url: str, anon_key: str, given: httpx.Client | None) -> Iterator[httpx.Client]:
    if given is not None:
        yield given
        return
    with build_client(url, auth=KeyAuth(anon_key)) as client:
        yield client


def _session(found: VendorSession | None, what: str, before: Session | None = None) -> Session:
    """The session in a response to a login. Raises BackendError if it can't be used."""
    none = BackendError(f"Could not {what}: {_NO_SESSION}")
    if found is None or not is_session_of(found.user.id, found.access_token, found.refresh_token):
        raise none
    expires_at = _expiry(found.expires_in, found.access_token)
    if expires_at is None:
        raise none
    return Session(
        access_token=Secret(found.access_token),
        refresh_token=Secret(found.refresh_token),
        expires_at=expires_at,
        user_id=found.user.id,
        email=email_of({"email": found.user.email}) or (before.email if before else ""),
    )


def _expiry(seconds: int, access_token: str) -> datetime | None:
    """When it expires; by the seconds that are left, as our clock may differ from the server's."""
    with suppress(OverflowError):  # more seconds than a date can hold
        return clock.now() + timedelta(seconds=seconds)
    return expiry_of(access_token)


def _expires_soon(session: Session) -> bool:
    return session.expires_at - clock.now() < REFRESH_BEFORE


def _checked_token(token: Secret) -> str:
    """The access token itself. Raises AuthenticationError for a key of the project."""
    if token.reveal().startswith("sb_"):
        raise AuthenticationError("A project key is no access token")
    return token.reveal()


def _is_jwt(key: Secret) -> bool:
    text = key.reveal()
    return not text.startswith("sb_") and text.count(".") == 2
