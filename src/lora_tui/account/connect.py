"""Connects an account to a profile: each step is checked, and kept only once all of it works.

Blocking; screens call it in a thread. Nothing typed is logged, and nothing is half-written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from lora_tui.account import sessions
from lora_tui.account.sessions import Session
from lora_tui.config.file import set_values
from lora_tui.config.profile import Paths, Profile, check_in_header, checked_url
from lora_tui.errors import AuthenticationError, ConfigError, LoraTuiError
from lora_tui.secret import Secret

if TYPE_CHECKING:
    import httpx

PLACES: Final = {sessions.KEYRING: "the keyring", sessions.FILE: "a file only you can read"}


class Login:
    """Signing in to one project; what works is kept."""

    def __init__(self, profile: Profile, *, is_new: bool = False) -> None:
        """`is_new`: the configuration does not have the profile yet, and gets it with a login."""
        self.profile = profile
        self._is_new = is_new

    @property
    def email(self) -> str:
        """Who signed in last, or who is configured; may be empty."""
        known = sessions.signed_in(self.profile)
        return (known.email if known else "") or self.profile.email or ""

    def sign_out(self) -> None:
        """End the session here; the backend is told if it can be reached.

        Raises AuthenticationError where the environment has the session, and DiskError.
        """
        from lora_tui.gateway import auth

        profile = self.profile
        if profile.access_token:
            raise AuthenticationError(
                "LORA_TUI_ACCESS_TOKEN is set: there is no session here to end",
                remedy="start again without it",
            )
        session = sessions.load_session(profile)
        if session is not None:
            with suppress(LoraTuiError), _client(profile.url, profile.anon_key) as client:
                auth.sign_out(profile.url, profile.anon_key, session, client=client)
        sessions.delete_session(profile)

    def with_password(self, email: str, password: Secret) -> str:
        """Sign in; where the session is kept, in words.

        Raises AuthenticationError, ConfigError (the key), UnreachableError, DiskError.
        """
        from lora_tui.gateway import auth

        profile = self.profile
        with _client(profile.url, profile.anon_key) as client:
            session = auth.sign_in(
                profile.url, profile.anon_key, email.strip(), password, client=client
            )
        return self._keep(session)

    def with_token(self, token: Secret) -> str:
        """Use a session that was made elsewhere; like `with_password`."""
        from lora_tui.gateway import auth

        profile = self.profile
        if token.reveal().startswith("sb_") or token.reveal() == profile.anon_key:
            raise AuthenticationError(
                "That is a key of the project, not an access token", remedy="sign in by e-mail"
            )
        check_in_header(token.reveal(), "What was given as the access token")
        with _client(profile.url, profile.anon_key) as client:
            session = auth.session_from_tokens(
                profile.url, profile.anon_key, token, Secret(""), client=client
            )
        return self._keep(session)

    def _keep(self, session: Session) -> str:
        profile = self.profile
        if profile.access_token:
            raise AuthenticationError(
                "LORA_TUI_ACCESS_TOKEN is set, and a login does not replace it",
                remedy="start again without it, or with a new one",
            )
        before = None if self._is_new else sessions.signed_in(profile)
        if before is not None and before.user_id != session.user_id:
            raise AuthenticationError(
                "That is another account than the one whose models are shown",
                remedy="quit, and run `lora-tui login` to change accounts",
            )
        kept_in = sessions.save_session(profile, session)
        if self._is_new:
            values = {"url": profile.url, "anon_key": profile.anon_key}
            try:
                set_values(profile.paths.config_file, profile.name, values)
            except LoraTuiError:
                with suppress(LoraTuiError):
                    sessions.delete_session(profile)
                raise
        return PLACES[kept_in]


def check_project(url: str, anon_key: str) -> None:
    """Whether the project answers and takes the key. Raises ConfigError, UnreachableError."""
    from lora_tui.gateway.answers import check, is_own_word

    if not url or not anon_key:
        raise ConfigError("The project's URL and its public key are both needed")
    check_in_header(anon_key.strip(), "What was given as the public key")
    with _client(checked_url(url, "The project's URL"), anon_key) as client:
        response = client.get("/auth/v1/health")
        if response.status_code in (401, 403) and is_own_word(response):
            raise ConfigError(
                "The project does not accept this key",
                remedy="copy the public (anon or publishable) key from the project's API settings",
            )
        if response.status_code == 404:  # whoever says so: Supabase has an answer here
            raise ConfigError(
                "There is no Supabase project at this address",
                remedy="copy the URL from the project's API settings",
            )
        check(response, "reach the project")


def new_profile(name: str, paths: Paths, url: str, anon_key: str) -> Profile:
    """A profile that no file has yet. Raises ConfigError."""
    return Profile(
        name=name,
        paths=paths,
        url=checked_url(url.strip(), "The project's URL"),
        anon_key=anon_key.strip(),
        downloads_dir=paths.downloads_dir,
    )


def _client(url: str, anon_key: str) -> httpx.Client:
    from lora_tui.gateway.auth import KeyAuth
    from lora_tui.gateway.http import RETRY, RetryPolicy, build_client

    # somebody waits before a form: one more try, not half a minute of them
    patience = RetryPolicy(total=1, status_forcelist=RETRY.status_forcelist)
    return build_client(url, auth=KeyAuth(anon_key), retry=patience)
