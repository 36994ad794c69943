"""When the application syncs again by itself: at an interval, later and later while it is offline.

Pure: what has happened goes in, seconds come out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from lora_tui.clock import Backoff
from lora_tui.errors import AuthenticationError, LoraTuiError, SessionEndedError

INTERVAL: Final = 60.0
"""Seconds between two syncs that work."""
LONGEST: Final = 900.0
"""Seconds between two attempts at most, while they fail."""
JITTER: Final = 0.2
"""Share of a delay by which it varies either way, so that many clients don't come at once."""
BACKOFF: Final = Backoff(INTERVAL, LONGEST, least=1 - JITTER, most=1 + JITTER)
REFUSALS_THAT_HOLD: Final = 3
"""The refused syncs in a row that count as a bad login; fewer may be a fault of the platform."""


@dataclass(frozen=True)
class SyncSchedule:
    """How the attempts so far went. Asking for a sync by hand is always allowed, and counts."""

    failures: int = 0
    """In a row."""
    interval: float = INTERVAL
    refusals: int = 0
    """Refusals of the login, in a row."""
    ended: bool = False
    """Whether the auth service has refused the session itself."""

    @property
    def refused(self) -> bool:
        """Whether somebody should sign in. Attempts go on: it may have been done elsewhere."""
        return self.ended or self.refusals >= REFUSALS_THAT_HOLD

    def after(self, error: LoraTuiError | None) -> Self:
        """The schedule after an attempt; `error` is None where it worked."""
        if error is None:
            return replace(self, failures=0, refusals=0, ended=False)
        refused = isinstance(error, AuthenticationError)
        return replace(
            self,
            failures=self.failures + 1,
            refusals=self.refusals + 1 if refused else 0,
            ended=isinstance(error, SessionEndedError) or (self.ended and not refused),
        )

    def delay(self, chance: float) -> float:
        """Seconds until the next attempt, `chance` in [0, 1) drawn by the caller.

        The interval doubles with each failure in a row, up to `LONGEST`.
        """
        longest = max(BACKOFF.longest, self.interval)
        backoff = BACKOFF._replace(first=self.interval, longest=longest)
        return min(longest, backoff.wait(self.failures + 1, chance))
