"""Runs the harvest inside the application, in one thread; off until it is started."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Final

from lora_tui.errors import ConfigError, LoraTuiError

if TYPE_CHECKING:  # late: needed only after the first frame
    from lora_tui.config.table import Profile
    from lora_tui.harvest.ledger import Ledger

_INTERVAL: Final = 60.0


class BackgroundHarvest:
    """Starts and stops the harvest; its progress is in the ledger."""

    def __init__(self, profile: Profile, *, interval: float = _INTERVAL) -> None:
        self._profile = profile
        self._interval = interval
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._watched: Ledger | None = None
        self._version: tuple[int, int] | None = None
        self._made = 0
        self.error: LoraTuiError | None = None
        """Why it ended, if it failed."""

    @property
    def missing(self) -> LoraTuiError | None:
        """The missing setting, as an error; None where nothing is missing."""
        from lora_tui.harvest.harvester import require_keys

        try:
            require_keys(self._profile)
        except ConfigError as error:
            return error
        return None

    @property
    def running(self) -> bool:
        """Whether it runs, also while it stops."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it stops after the current file."""
        return self.running and self._stop.is_set()

    @property
    def wanted_on_start(self) -> bool:
        """Whether the profile starts it with the application."""
        return self._profile.background_harvest

    def models_made(self) -> int:
        """The number of models that this machine's harvests have made. Raises DiskError."""
        if self._watched is None:
            self._watched = self.open_ledger()
        version = self._watched.version()
        if version != self._version:
            self._version, self._made = version, self._watched.models_made()
        return self._made

    def open_ledger(self) -> Ledger:
        """The ledger, for reading. Raises DiskError."""
        from lora_tui.harvest.ledger import Ledger, ledger_path

        return Ledger(ledger_path(self._profile))

    def start(self) -> None:
        """Start it, unless it runs. Raises ConfigError, DiskError."""
        if self.running and not self._stop.is_set():
            return
        from lora_tui.harvest.harvester import connect
        from lora_tui.harvest.loop import run_forever

        harvester = connect(self._profile)
        self._stop, self._wake, self.error = threading.Event(), threading.Event(), None
        stop, wake = self._stop, self._wake

        def wait(seconds: float) -> bool:
            wake.wait(seconds)
            wake.clear()
            return stop.is_set()

        def run() -> None:
            try:
                with closing(harvester):
                    run_forever(
                        harvester,
                        interval=self._interval,
                        limit=None,
                        emit=lambda _event: None,
                        stop=stop,
                        wait=wait,
                    )
            except LoraTuiError as error:
                self.error = error
            except Exception as error:  # shown by the screen
                reason = f"Something unexpected happened: {type(error).__name__}"
                self.error = LoraTuiError(reason, remedy="please report this")

        self._thread = threading.Thread(target=run, name="harvest", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current file; returns at once."""
        self._stop.set()
        self._wake.set()

    def retry(self, job_ids: Iterable[str]) -> None:
        """Retry failed jobs, at once if it runs."""
        with closing(self.open_ledger()) as ledger:
            ledger.retry(job_ids)
        self._wake.set()
