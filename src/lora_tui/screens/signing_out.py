"""Signs out of the application, after two questions; ends the session here and at the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_tui import formats
from lora_tui.account.login import require_no_token
from lora_tui.cache.models import names_of
from lora_tui.cache.transfer_queue import active_transfers
from lora_tui.errors import AuthenticationError, LoraTuiError
from lora_tui.screens.confirm import ConfirmScreen

if TYPE_CHECKING:
    from lora_tui.engine.account_form import AccountForm
    from lora_tui.tui.cache_app import CacheApp


def sign_out(app: CacheApp, account: AccountForm) -> None:
    """Ask whether to sign out and whether to remove the cache; then do it, and exit."""

    def confirmed(wanted: bool | None) -> None:
        if wanted:
            question = "Remove this account's cache from this machine too? Downloads are kept."
            app.push_screen(ConfirmScreen("Sign out", question), end_session)

    def end_session(clear: bool | None) -> None:
        def leave(not_told: str | None) -> None:
            app.signed_out = True
            app.not_told = not_told
            app.exit()

        def failed(error: LoraTuiError) -> None:
            app.clears_cache = False
            app.show_error(error, title="Not signed out")

        app.clears_cache = bool(clear)  # also where the user quits before there is an answer
        app.notify("Signing out…")
        app.start(account.sign_out, leave, failed=failed, name="sign out")

    try:
        require_no_token(account.profile, "sign out")
    except AuthenticationError as error:
        app.show_error(error)
        return
    app.push_screen(ConfirmScreen("Sign out", _question(app)), confirmed)


def _question(app: CacheApp) -> str:
    rows = active_transfers(app.db)
    ids = list(dict.fromkeys(row.model_id for row in rows))
    if not ids:
        return "Sign out on this machine?"
    known = names_of(app.db, ids)
    what = formats.some_of([known.get(model_id, model_id) for model_id in ids])
    return f"Sign out on this machine? Downloads of {what} stop; their partial files are kept."
