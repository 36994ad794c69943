"""What stands where there is no list: empty, loading, failed, no match; and the offline banner."""

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
    """What to press where a sync has failed."""
    if signed_out:
        return f"{key_of(app, 'app.login')} signs in"
    return f"{key_of(app, 'app.sync')} tries again"


class StatePanel(Static):
    """A heading, a sentence, and what to press next; in the middle of where the list would be."""

    def show_message(self, heading: str, *lines: str, warning: bool = False) -> None:
        """Show it; nothing in the text is taken for markup."""
        ascii_only = self.app.has_class("-ascii")
        style = "bold $text-warning" if warning else "bold $primary"
        parts: list[tuple[str, str]] = [(heading, style)]
        for line in lines:
            parts.append((f"\n\n{normalize_width(line, ascii_only=ascii_only)}", "$secondary"))
        self.update(Content.assemble(*parts))


class OfflineBanner(Static):
    """One line: what keeps us from syncing, how old the data is, why, and how to try again."""

    def show_error(
        self,
        age: str,
        reason: str,
        error_kind: SyncErrorKind | None,
        *,
        ascii_only: bool,
        signed_out: bool = False,
    ) -> None:
        """Show it; the reason may be remote text. `signed_out`: only a login helps."""
        sign, between = ("o", " - ") if ascii_only else ("○", " · ")
        reason = normalize_width(reason, ascii_only=ascii_only)
        way_on = recovery_hint(self.app, signed_out=signed_out)
        words = (
            "signed out"
            if signed_out
            else SYNC_ERROR_WORDS[error_kind or SyncErrorKind.UNREACHABLE]
        )
        self.update(
            Content.assemble(
                (f" {sign} {words.capitalize()}", "bold $text-warning"),
                (f"{between}data of {age}{between}{way_on}{between}{reason}", "$text-warning"),
            )
        )


class TooSmall(Static):
    """All that a terminal which is too small shows."""
