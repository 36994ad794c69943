"""Supabase Auth: signing in, keeping a session alive, and the headers of each request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any, Final

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
from lora_tui.gateway.http import RENEWABLE, REPEATABLE, UNAUTHORIZED_REPEATS, build_client
from lora_tui.gateway.redaction import without_secrets
from lora_tui.gateway.responses import (
    TokenRefusal,
    check,
    effective_status,
    error_body,
    is_from_service,
    read_json,
    refusal_details,
    token_refusal,
)
from lora_tui.gateway.retry import RETRY
from lora_tui.secret import Secret

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
_DIGITS: Final = 18
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
    with _client(url, anon_key, client) as http:
        response = http.post(
            "/auth/v1/token",
            params={"grant_type": "password"},
            json={"email": email, "password": password.reveal()},
        )
        if effective_status(response) in (400, 403, 422) and is_from_service(response):
            raise _sign_in_error(response)
        _refuse_bad_key(response)
        return _session(read_json(check(response, "sign in"), "sign in"))


def refresh(
    url: str, anon_key: str, session: Session, *, client: httpx.Client | None = None
) -> Session:
    """A renewed session; the old refresh token is used up by this.

    Raises SessionEndedError where the service refuses it several times in a row, UnreachableError
    for every other failure.
    """
    if not session.refresh_token:
        raise SessionEndedError("The session has ended")
    with _client(url, anon_key, client) as http:
        attempts = RETRY
        while True:
            # The same token may be sent again at once after a lost response: Supabase allows
            # its reuse for some seconds. Not repeating it would lose the session for certain.
            response = http.post(
                "/auth/v1/token",
                params={"grant_type": "refresh_token"},
                json={"refresh_token": session.refresh_token.reveal()},
                extensions=dict(REPEATABLE),
            )
            _refuse_bad_key(response)
            if not _is_refused(response):
                break
            if attempts.attempts_made >= UNAUTHORIZED_REPEATS:  # it holds
                raise SessionEndedError("The session has ended", details=refusal_details(response))
            attempts = attempts.wait(response)
        return _session(
            read_json(check(response, "renew the session"), "renew the session"), session
        )


def fetch_user(
    url: str, anon_key: str, access_token: Secret, *, client: httpx.Client | None = None
) -> tuple[str, str]:
    """Id and e-mail address (may be empty) of the account that the token belongs to."""
    with _client(url, anon_key, client) as http:
        response = http.get("/auth/v1/user", headers=_bearer(access_token))
        _refuse_bad_key(response)
        if _is_refused(response):
            raise SessionEndedError("The session has ended", details=refusal_details(response))
        body = read_json(check(response, "read the account"), "read the account")
    user_id = body.get("id") if isinstance(body, dict) else None
    if not is_user_id(user_id):
        raise BackendError("Could not read the account: the answer names no user")
    return str(user_id), email_of(body)


def sign_out(
    url: str, anon_key: str, session: Session, *, client: httpx.Client | None = None
) -> None:
    """End the session at the backend. Succeeds if it has ended already."""
    with _client(url, anon_key, client) as http:
        response = http.post(
            "/auth/v1/logout",
            params={"scope": "local"},
            headers=_bearer(session.access_token),
        )
        if not _is_refused(response):
            check(response, "sign out")


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
    """Authorises by a project key: `apikey` always, `Authorization` only if the key is a JWT."""

    def __init__(self, key: Secret | str) -> None:
        self._key = key if isinstance(key, Secret) else Secret(key, public=True)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["apikey"] = self._key.reveal()
        if _is_jwt(self._key) and "Authorization" not in request.headers:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class SessionAuth(httpx.Auth):
    """Authorises by a user's session; renews it before it expires, and once after a refusal.

    Thread-safe: if many requests find the session expired, one of them renews it. `lock` is held
    while the session is renewed (a lock between processes), `reload` is called first (another
    process may have renewed it), `on_refresh` is called with the new session. `sign_in_again`
    makes a new session where Auth refuses to renew this one; it may raise what `sign_in` raises.
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
        client: httpx.Client | None = None,
    ) -> None:
        self._url = url
        self._anon_key = Secret(anon_key, public=True)
        self._session = session
        self._on_refresh = on_refresh
        self._reload = reload
        self._process_lock = lock
        self._sign_in_again = sign_in_again
        self._client = client
        self._thread_lock = threading.Lock()
        self._used_up: set[Secret] = set()
        """Used refresh tokens: a stored session with one of them is older than ours."""

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
        request.headers.update(_bearer(session.access_token))

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
        try:
            return refresh(self._url, self._anon_key.reveal(), session, client=self._client)
        except SessionEndedError as error:
            return self._sign_in_as(session, error)

    def _sign_in_as(self, session: Session, failure: LoraTuiError) -> Session:
        """A new session of the same account; raises `failure` where no password makes one."""
        if self._sign_in_again is None:
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


def _sign_in_error(response: httpx.Response) -> AuthenticationError:
    """The error for an e-mail address and password that Auth refuses."""
    body = error_body(response)
    code = body.get("error_code") or body.get("error") or body.get("code")
    if code == "email_not_confirmed":
        return AuthenticationError(
            "This e-mail address is not confirmed yet",
            remedy="open the link in the confirmation e-mail",
        )
    if body.get("error_code") in _NOT_THE_PASSWORD:
        return AuthenticationError(
            "The project does not let this account sign in",
            details=refusal_details(response),
            remedy="ask who runs the project",
        )
    return WrongPasswordError(
        "Wrong e-mail address or password",
        details=without_secrets(body.get("msg") or body.get("message") or code) or None,
        remedy="check both; the password is not stored anywhere",
    )


def _is_refused(response: httpx.Response) -> bool:
    """Whether Auth itself refuses the session; False for clock differences and for proxies."""
    return (
        effective_status(response) in (400, 401, 403, 404, 422)
        and is_from_service(response)
        and token_refusal(response) is not TokenRefusal.FUTURE
    )


def _refuse_bad_key(response: httpx.Response) -> None:
    """Raise for a 401 without a code of Auth: the API gateway sends it for a wrong project key."""
    body = error_body(response)
    if (
        response.status_code == 401
        and is_from_service(response)
        and not (body.get("error_code") or body.get("error"))
    ):
        raise ConfigError(
            "The project does not accept its key",
            details=refusal_details(response),
            remedy="check its URL and its key (`lora-tui config show`); both are of one project",
        )


@contextmanager
def _client(url: str, anon_key: str, given: httpx.Client | None) -> Iterator[httpx.Client]:
    if given is not None:
        yield given
        return
    with build_client(url, auth=KeyAuth(anon_key)) as client:
        yield client


def _session(body: Any, before: Session | None = None) -> Session:
    """The session in a response to a login. Raises BackendError if it is malformed."""
    none = BackendError("The answer to the login holds no session")
    if not isinstance(body, dict):
        raise none
    access_token, refresh_token = body.get("access_token"), body.get("refresh_token")
    user = body.get("user")
    user = user if isinstance(user, dict) else {}
    user_id = user.get("id") or (before.user_id if before else "")
    if not is_session_of(user_id, access_token, refresh_token):
        raise none
    expires_at = _expiry(body, str(access_token))
    if expires_at is None:
        raise none
    return Session(
        access_token=Secret(str(access_token)),
        refresh_token=Secret(str(refresh_token)),
        expires_at=expires_at,
        user_id=str(user_id),
        email=email_of(user) or (before.email if before else ""),
    )


def _expiry(body: Mapping[str, Any], access_token: str) -> datetime | None:
    """When it expires; by `expires_in` if given, as our clock may differ from the server's."""
    seconds = body.get("expires_in")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal():
        seconds = int(seconds[:_DIGITS])
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        with suppress(OverflowError, ValueError):  # more seconds than a date can hold
            return clock.now() + timedelta(seconds=seconds)
    return expiry_of(access_token)


def _expires_soon(session: Session) -> bool:
    return session.expires_at - clock.now() < REFRESH_BEFORE


def _bearer(token: Secret) -> dict[str, str]:
    """The Authorization header of a token. Empty for new project keys, which are no JWTs."""
    if token.reveal().startswith("sb_"):
        raise AuthenticationError("A project key is no access token")
    return {"Authorization": f"Bearer {token.reveal()}"}


def _is_jwt(key: Secret) -> bool:
    text = key.reveal()
    return not text.startswith("sb_") and text.count(".") == 2
