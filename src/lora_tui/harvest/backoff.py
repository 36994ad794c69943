"""How long a job that failed waits for its next try."""

from __future__ import annotations

import random
from typing import Final

FIRST_WAIT: Final = 30.0
LONGEST_WAIT: Final = 3600.0
_JITTER: Final = 0.25
NEVER_LONGER: Final = LONGEST_WAIT * (1 + _JITTER)
"""Seconds. A try that is due later was noted by a clock that was wrong."""


def wait_after(attempts: int, window: float | None) -> float:
    """Seconds until the next try: 30, 60, 120 … up to an hour, a quarter more or less.

    `window` is how long the worker still keeps the result; while it does, three more tries fit
    into what is left, but never one before ten seconds are over.
    """
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 20))
    if window is not None and window > 0:
        wait = max(10.0, min(wait, window / 3))
    return wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not for secrets
