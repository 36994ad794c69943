"""Shows toasts about downloads that have ended: one for each, or one that counts where many end."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.errors import LoraTuiError
from lora_tui.tui.base_app import BaseApp
from lora_tui.widgets.bindings import key_of

GATHER_SECONDS: Final = 0.2
"""From the end of a download to its toast: those that end meanwhile are counted in it."""
SECONDS_BETWEEN: Final = 5.0
"""From one toast to the next: as long as one is up."""


class _Outcome(Enum):
    """How a download has ended: the title of the toast for one, and for several."""

    DONE = ("Downloaded", "Downloaded")
    FAILED = ("Download failed", "Downloads failed")
    STOPPED = ("Download stopped", "Downloads stopped")


class _Ended(NamedTuple):
    """A download of one model that has ended."""

    outcome: _Outcome
    name: str
    """Of the model."""
    lines: tuple[str, ...] = ()
    """Shown below the name, if it is alone."""
    error: LoraTuiError | None = None
    """Of one that has failed."""


class DownloadToasts:
    """Gathers what has ended, and shows it at intervals. `name` is that of the model."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._ended: list[_Ended] = []
        self._is_waiting = False
        """Whether a timer shows what is gathered."""

    def report_done(self, name: str, *lines: str) -> None:
        """Show that a download is complete, with these lines about it."""
        self._report(_Ended(_Outcome.DONE, name, lines))

    def report_failed(self, name: str, error: LoraTuiError) -> None:
        """Show why one has failed, and what to do."""
        self._report(_Ended(_Outcome.FAILED, name, error=error))

    def report_stopped(self, name: str) -> None:
        """Show that the user has stopped one."""
        self._report(_Ended(_Outcome.STOPPED, name, ("The downloaded part is kept",)))

    def _report(self, ended: _Ended) -> None:
        self._ended.append(ended)
        if not self._is_waiting:
            self._show_after(GATHER_SECONDS)

    def _show_after(self, seconds: float) -> None:
        self._is_waiting = True
        self._app.set_timer(seconds, self._show)

    def _show(self) -> None:
        ended, self._ended, self._is_waiting = self._ended, [], False
        if not ended:
            return
        for outcome in _Outcome:
            alike = [one for one in ended if one.outcome is outcome]
            if len(alike) == 1:
                self._show_one(alike[0])
            elif alike:
                self._show_count(outcome, alike)
        if any(one.outcome is not _Outcome.STOPPED for one in ended):
            self._app.bell()
        self._show_after(SECONDS_BETWEEN)

    def _show_one(self, ended: _Ended) -> None:
        title, _ = ended.outcome.value
        if ended.error is not None:
            self._app.show_error(ended.error, title=title, name=ended.name)
        else:
            self._app.notify("\n".join([ended.name, *ended.lines]), title=title)

    def _show_count(self, outcome: _Outcome, ended: Sequence[_Ended]) -> None:
        _, title = outcome.value
        names = formats.some_of([one.name for one in ended])
        counted = f"{formats.counted(len(ended), 'model')}: {names}"
        where = f"Press {key_of(self._app, 'app.transfers')} to open Transfers"
        errors = [one.error for one in ended if one.error is not None]
        if not errors:
            self._app.notify(f"{counted}\n{where}", title=title)
        elif len({str(error) for error in errors}) == 1:  # its details are of one of them
            common = LoraTuiError(str(errors[0]), remedy=errors[0].remedy)
            self._app.show_error(common, title=title, name=counted)
        else:
            self._app.notify(f"{counted}\n{where}", title=title, severity="error", timeout=8)
