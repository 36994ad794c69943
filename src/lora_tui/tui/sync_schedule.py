"""When the application syncs again: at an interval, with growing delays while syncs fail.

Pure functions from the results of syncs to seconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from lora_tui.clock import Backoff
from lora_tui.config.table import SYNC_INTERVAL
from lora_tui.errors import (
    AuthenticationError,
    LoraTuiError,
    NotSignedInError,
    SessionEndedError,
    WrongPasswordError,
)

LONGEST: Final = 900.0
"""The longest wait between two failed attempts, in seconds."""
JITTER: Final = 0.2
"""The share by which a delay varies, so that many clients do not sync at once."""
BACKOFF: Final = Backoff(SYNC_INTERVAL, LONGEST, least=1 - JITTER, most=1 + JITTER)
NO_SESSION: Final = (SessionEndedError, NotSignedInError, WrongPasswordError)
"""Refusals that hold at once."""
REFUSALS_THAT_HOLD: Final = 3
"""This many refused syncs in a row mean a bad login; fewer may be a fault of the platform."""


class SyncSchedule(NamedTuple):
    """The results of the attempts so far, including those that the user asked for."""

    failures: int = 0
    """Failed attempts in a row."""
    interval: float = SYNC_INTERVAL
    refusals: int = 0
    """Refused logins in a row."""
    ended: bool = False
    """Whether there is no session any more, or none yet: only a sign-in helps."""
    error: LoraTuiError | None = None
    """Why the last attempt failed."""

    @property
    def refused(self) -> bool:
        """Whether the user should sign in. Attempts continue: another program may sign in."""
        return self.ended or self.refusals >= REFUSALS_THAT_HOLD

    def after(self, error: LoraTuiError | None) -> Self:
        """The schedule after an attempt; `error` is None after a success."""
        if error is None:
            return self._replace(failures=0, refusals=0, ended=False, error=None)
        refused = isinstance(error, AuthenticationError)
        return self._replace(
            failures=self.failures + 1,
            refusals=self.refusals + 1 if refused else 0,
            ended=isinstance(error, NO_SESSION) or (self.ended and not refused),
            error=error,
        )

    def delay(self, chance: float) -> float:
        """Seconds until the next attempt, `chance` in [0, 1) drawn by the caller.

        The interval doubles with each failure in a row, up to `LONGEST`.
        """
        longest = max(BACKOFF.longest, self.interval)
        backoff = BACKOFF._replace(first=self.interval, longest=longest)
        return min(longest, backoff.wait(self.failures + 1, chance))
