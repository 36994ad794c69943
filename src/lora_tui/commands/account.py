"""`login`, `logout` and `whoami`."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from lora_tui.account import sessions
from lora_tui.account.sessions import SignedIn
from lora_tui.cache.connection import delete_cache
from lora_tui.commands.context import Context
from lora_tui.errors import AuthenticationError, LoraTuiError, UsageError
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe


def login(context: Context) -> None:
    """Sign in with e-mail and password, and keep the session."""
    context.require_network()
    profile = context.profile
    email = context.arguments.email or profile.email
    password = profile.password
    if not email or not password:
        if not sys.stdin.isatty():
            raise UsageError(
                "There is no terminal to ask for the password",
                remedy="set LORA_TUI_EMAIL and LORA_TUI_PASSWORD (or LORA_TUI_PASSWORD_FILE)",
            )
        email = email or input("E-mail: ").strip()
        password = Secret(getpass.getpass("Password: "))
    from lora_tui.gateway import auth

    session = auth.sign_in(profile.url, profile.anon_key, email, password)
    kept_in = sessions.save_session(profile, session)
    if context.json:
        context.print_data({"user_id": session.user_id, "email": session.email, "kept_in": kept_in})
        return
    place = "the keyring" if kept_in == sessions.KEYRING else "a file only you can read"
    context.say(f"Signed in as {terminal_safe(session.email)}; the session is kept in {place}.")


def logout(context: Context) -> None:
    """End the session here and at the backend."""
    profile = context.profile
    signed_in = sessions.signed_in(profile)
    if signed_in is None:
        if not sessions.delete_session(profile):
            raise AuthenticationError(f"Nobody is signed in to profile {profile.name}")
        if context.json:
            context.print_data({"user_id": None, "cache_removed": False})
            return
        context.say("The stored session was damaged; it was removed.")
        return
    if not context.arguments.offline:
        from lora_tui.gateway import auth

        try:
            session = sessions.load_session(profile)
            if session is not None:
                auth.sign_out(profile.url, profile.anon_key, session)
        except LoraTuiError as error:
            context.say(f"The backend could not be told ({error}); forgotten here all the same.")
    path = profile.cache_path(signed_in.user_id)
    clear = _wants_clear(context, path, signed_in)
    sessions.delete_session(profile)
    removed = clear and delete_cache(path)
    if context.json:
        context.print_data({"user_id": signed_in.user_id, "cache_removed": removed})
        return
    if removed:
        what = " The cache was removed."
    elif path.exists():
        what = " The cache was kept (`lora-tui logout --clear-cache` removes it)."
    else:
        what = ""
    context.say(f"Signed out.{what}")


def whoami(context: Context) -> None:
    """Who is signed in, from what is stored; no network."""
    session = sessions.signed_in(context.profile)
    if session is None:
        raise AuthenticationError(f"Nobody is signed in to profile {context.profile.name}")
    if context.json:
        context.print_data(
            {
                "user_id": session.user_id,
                "email": session.email,
                "profile": context.profile.name,
                "url": context.profile.url,
            }
        )
        return
    context.out.write(f"{terminal_safe(session.email or session.user_id)}\n")


def _wants_clear(context: Context, path: Path, signed_in: SignedIn) -> bool:
    """What the flags say; without one the user is asked, where there is somebody to ask."""
    if context.arguments.clear_cache is not None:
        return bool(context.arguments.clear_cache)
    if context.json or not path.exists() or not (sys.stdin.isatty() and context.talk.isatty()):
        return False
    who = terminal_safe(signed_in.email or signed_in.user_id)
    context.talk.write(f"Remove the cached models of {who} too? [y/N] ")
    context.talk.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
