"""The harvest that the engine runs in the background, for the application's screens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lora_tui.errors import ConfigError, LoraTuiError

if TYPE_CHECKING:  # the application makes one before its first frame; it is used after it
    from lora_tui.config.table import Profile
    from lora_tui.engine.writers import Writers
    from lora_tui.harvest.ledger import Ledger


class BackgroundHarvest:
    """Off until it is started. Its progress is in the ledger, which is read here."""

    def __init__(self, profile: Profile, writers: Writers) -> None:
        self._profile, self._writers = profile, writers
        self._watched: Ledger | None = None
        self._version: tuple[int, int] | None = None
        self._made = 0
        self.wanted = profile.background_harvest
        """Whether it is to run: the profile starts it with the application, or the user did."""

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
        return self._writers.harvest.running

    @property
    def stopping(self) -> bool:
        """Whether it stops after the current file."""
        return self._writers.harvest.stopping

    @property
    def error(self) -> LoraTuiError | None:
        """Why it ended, if it failed."""
        return self._writers.harvest.error

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
        """Start it, unless it runs. Blocks. Raises ConfigError, DiskError."""
        self.wanted = True
        self._writers.start_harvest()

    def stop(self) -> None:
        """Stop it after the current file. Blocks until the engine knows."""
        self.wanted = False
        self._writers.stop_harvest()

    def retry(self, job_ids: Iterable[str]) -> None:
        """Retry failed jobs, at once if it runs. Blocks. Raises DiskError."""
        self._writers.retry_harvest(list(job_ids))
