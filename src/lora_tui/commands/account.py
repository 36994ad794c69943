"""`login`, `logout` and `whoami`."""

from __future__ import annotations

import getpass
import sys

from lora_tui.account import login as accounts
from lora_tui.account import sessions
from lora_tui.account.sessions import SignedIn
from lora_tui.cache.cache_file import delete_cache
from lora_tui.commands.context import Context
from lora_tui.errors import UsageError
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe


def login(context: Context) -> None:
    """Sign in with e-mail and password, and keep the session."""
    context.require_network()
    profile = context.profile
    accounts.require_no_token(profile, "sign in")
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
    session, kept_in = accounts.log_in(profile, email, password, replace=True, patient=True)
    if not sessions.is_configured_account(profile, session.email):
        context.say(
            f"The configuration names {terminal_safe(profile.email or '')}, and other commands use"
            f" that account: remove {profile.source('email')} to use this session."
        )
    if context.json:
        context.print_data({"user_id": session.user_id, "email": session.email, "kept_in": kept_in})
        return
    place = accounts.PLACES[kept_in]
    context.say(f"Signed in as {terminal_safe(session.email)}; the session is kept in {place}.")


def logout(context: Context) -> None:
    """End the session here and at the backend."""
    profile = context.profile
    accounts.require_no_token(profile, "sign out")
    account = sessions.account_of(profile)
    path = profile.cache_path(account.user_id) if account else None
    clear = account is not None and _wants_clear(context, account)
    done = accounts.sign_out(profile, offline=context.arguments.offline)
    if not done.removed and not (clear and path is not None and path.exists()):
        raise sessions.no_session(profile)
    if done.not_told is not None:
        context.say(f"The session was removed here, but not at the backend: {done.not_told}.")
    cleared = clear and path is not None and delete_cache(path)
    if context.json:
        user_id = account.user_id if account else None
        context.print_data({"user_id": user_id, "cache_removed": cleared})
        return
    if account is None:
        context.say("The stored session was damaged; it was removed.")
        return
    if cleared:
        what = " The cache was removed."
    elif path is not None and path.exists():
        what = " The cache was kept (`lora-tui logout --clear-cache` removes it)."
    else:
        what = ""
    context.say(f"{'Signed out' if done.removed else str(sessions.no_session(profile))}.{what}")
    other = sessions.other_account(profile)
    if other is not None:
        context.say(f"The stored session of {terminal_safe(other.email)} was kept.")
    if sessions.has_credentials(profile):
        context.say(
            f"{profile.source('email')} and {profile.source('password')} still name an account:"
            " the next command that needs the network signs in again."
        )


def whoami(context: Context) -> None:
    """Who is signed in; needs the network only for the first use of a configured password."""
    profile = context.profile
    if context.arguments.offline:
        account = sessions.account_of(profile)
    else:
        account = sessions.signed_in(profile)
        if account is None and sessions.has_credentials(profile):
            context.require_network()
            session = accounts.sign_in(profile)
            account = SignedIn(session.user_id, session.email)
    if account is None:
        raise sessions.nobody_signed_in(profile)
    if context.json:
        context.print_data(
            {
                "user_id": account.user_id,
                "email": account.email,
                "profile": profile.name,
                "url": profile.url,
            }
        )
        return
    context.out.write(f"{terminal_safe(account.email or account.user_id)}\n")


def _wants_clear(context: Context, signed_in: SignedIn) -> bool:
    """What the flags say; without one the user is asked, where there is somebody to ask."""
    if context.arguments.clear_cache is not None:
        return bool(context.arguments.clear_cache)
    path = context.profile.cache_path(signed_in.user_id)
    if not path.exists() or not (context.can_ask and context.talk.isatty()):
        return False
    who = terminal_safe(signed_in.email or signed_in.user_id)
    return context.is_confirmed(f"Remove the cached models of {who} too?")
