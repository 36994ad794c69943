"""Panels for empty, loading and failed lists, the offline banner, and the size notice."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.content import Content
from textual.widgets import Static

from lora_tui.cache.metadata import SyncErrorKind
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import normalize_width

SYNC_ERROR_WORDS: Final = {
    SyncErrorKind.UNREACHABLE: "offline",
    SyncErrorKind.LOGIN: "session expired",
    SyncErrorKind.DENIED: "access denied",
    SyncErrorKind.OTHER: "sync failed",
}


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


class OfflineBanner(Static):
    """One line: the kind of sync error, the age of the data, the key that helps, the reason."""

    def show_error(
        self,
        age: str,
        reason: str,
        error_kind: SyncErrorKind | None,
        *,
        ascii_only: bool,
        signed_out: bool = False,
    ) -> None:
        """Show an error. `reason` may be remote text; with `signed_out` only a login helps."""
        sign, between = ("o", " - ") if ascii_only else ("○", " · ")
        reason = normalize_width(reason, ascii_only=ascii_only)
        hint = recovery_hint(self.app, signed_out=signed_out)
        words = (
            "signed out"
            if signed_out
            else SYNC_ERROR_WORDS[error_kind or SyncErrorKind.UNREACHABLE]
        )
        self.update(
            Content.assemble(
                (f" {sign} {words.capitalize()}", "bold $text-warning"),
                (f"{between}data from {age}{between}{hint}{between}{reason}", "$text-warning"),
            )
        )


class TooSmall(Static):
    """Replaces the screen in a terminal that is too small."""
