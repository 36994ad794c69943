"""Panels for empty, loading and failed lists, the offline banner, and the size notice."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.content import Content
from textual.widgets import Static

from lora_tui import clock, formats
from lora_tui.cache.metadata import SyncErrorKind, SyncState
from lora_tui.errors import LoraTuiError, UpgradedError
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import normalize_width

SYNC_ERROR_WORDS: Final = {
    SyncErrorKind.UNREACHABLE: "offline",
    SyncErrorKind.LOGIN: "session expired",
    SyncErrorKind.DENIED: "access denied",
    SyncErrorKind.OTHER: "sync failed",
}

_AGE_SECONDS: Final = 15.0
"""The age of the data is written anew so often."""


def recovery_hint(app: App[Any], *, signed_out: bool) -> str:
    """The key that helps after a failed sync."""
    if signed_out:
        return f"{key_of(app, 'app.login')} signs in"
    return f"{key_of(app, 'app.sync')} retries"


class StatePanel(Static):
    """Shows a heading, a sentence and the next key in place of a list."""

    def show_message(self, heading: str, *lines: str, warning: bool = False) -> None:
        """Show heading and lines; markup in them is not interpreted."""
        ascii_only = self.app.has_class("-ascii")
        style = "bold $text-warning" if warning else "bold $primary"
        parts: list[tuple[str, str]] = [(heading, style)]
        for line in lines:
            parts.append((f"\n\n{normalize_width(line, ascii_only=ascii_only)}", "$secondary"))
        self.update(Content.assemble(*parts))


def explain_missing_sync(
    panel: StatePanel,
    app: App[Any],
    state: SyncState,
    what: str,
    *,
    loading: bool,
    keyring: bool,
    signed_out: bool,
) -> bool:
    """Say that a list is empty because no sync has filled it; returns False where one has.

    `what`: what the list shows, as `models`. `keyring`: the keyring is waited for. `signed_out`:
    the user has to sign in.
    """
    sync = key_of(app, "app.sync")
    if loading and keyring:
        panel.show_message(
            "Waiting for the keyring", "It may ask for its password in a window of the desktop"
        )
    elif loading:
        panel.show_message(
            f"Fetching your {what}", "They appear here as they arrive", *_rebuilt_text(state)
        )
    elif state.error is not None:
        way_on = recovery_hint(app, signed_out=signed_out)
        panel.show_message("Nothing to show yet", state.error, way_on, warning=True)
    elif state.rebuilt:
        panel.show_message(
            "The cache needs a sync", *_rebuilt_text(state), f"{sync} fetches your {what}"
        )
    elif state.last_success is None:
        panel.show_message("Never synced", "This cache is empty", f"{sync} fetches your {what}")
    else:
        return False
    return True


def _rebuilt_text(state: SyncState) -> tuple[str, ...]:
    if not state.rebuilt:
        return ()
    return ("The cache of an earlier version has been rebuilt; downloads are kept",)


class OfflineBanner(Static):
    """One line: the kind of sync error, the age of the data, the key that helps, the reason."""

    _shown: tuple[SyncState, bool, bool] | None = None

    def on_mount(self) -> None:
        """Refresh the age of the data regularly."""
        self.set_interval(_AGE_SECONDS, self.refresh_age)

    def refresh_age(self) -> None:
        """Say how old the data are now."""
        if self.display and self._shown is not None:
            state, ascii_only, signed_out = self._shown
            self.show_state(state, ascii_only=ascii_only, signed_out=signed_out)

    def show_state(self, state: SyncState, *, ascii_only: bool, signed_out: bool) -> None:
        """Show the error of the last sync, if there is one, and how old the data are.

        With `signed_out` only a sign-in helps. The error may be remote text.
        """
        self._shown = (state, ascii_only, signed_out)
        if state.error is None:
            return
        sign, between = ("o", " - ") if ascii_only else ("○", " · ")
        reason = normalize_width(state.error, ascii_only=ascii_only)
        age = formats.age(state.last_success, clock.now())
        hint = recovery_hint(self.app, signed_out=signed_out)
        words = (
            "signed out"
            if signed_out
            else SYNC_ERROR_WORDS[state.error_kind or SyncErrorKind.UNREACHABLE]
        )
        self.update(
            Content.assemble(
                (f" {sign} {words.capitalize()}", "bold $text-warning"),
                (f"{between}data from {age}{between}{hint}{between}{reason}", "$text-warning"),
            )
        )

    def show_engine_error(self, error: LoraTuiError, *, ascii_only: bool) -> None:
        """Show that nothing is synced or downloaded any more, why, and the key that tries again."""
        self._shown = None
        sign, between = ("o", " - ") if ascii_only else ("○", " · ")
        reason = " ".join(part for part in (str(error), error.details) if part)
        hint = recovery_hint(self.app, signed_out=False)
        if isinstance(error, UpgradedError):
            hint = f"{key_of(self.app, 'app.quit')} quits"
        self.update(
            Content.assemble(
                (f" {sign} The engine does not run", "bold $text-warning"),
                (
                    normalize_width(f"{between}{hint}{between}{reason}", ascii_only=ascii_only),
                    "$text-warning",
                ),
            )
        )


class TooSmall(Static):
    """Replaces the screen in a terminal that is too small."""
