"""When a job is tried: which one first, and how long a failed one waits for its next attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from lora_tui.clock import Backoff, parse_timestamp

RESULT_SECONDS: Final = 30 * 60
"""What the worker promises, counted from the end of the training."""
EXPIRING_SECONDS: Final = 10 * 60
"""With less than this left, a job that is still waiting is worth a warning."""

JOB_BACKOFF: Final = Backoff(first=30.0, longest=3_600.0, least=0.75, most=1.25)
"""Between the attempts of a failed job."""
LONGEST_WAIT: Final = JOB_BACKOFF.longest * JOB_BACKOFF.most
"""Seconds. A next attempt that is due later was noted by a clock that was wrong."""
CYCLE_BACKOFF: Final = Backoff(first=0.0, longest=900.0, least=0.9, most=1.1)
"""Between cycles that fail altogether; the first wait is twice the interval."""
_SHORTEST_WAIT: Final = 10.0

Job = TypeVar("Job", bound=Mapping[str, Any])


def seconds_left(completed_at: datetime | None, now: datetime) -> float | None:
    """Until the worker may drop the result; below zero afterwards, None where nobody knows."""
    if completed_at is None:
        return None
    return RESULT_SECONDS - (now - completed_at).total_seconds()


def is_promise_over(
    completed_at: datetime | None, first_seen: datetime | None, now: datetime
) -> bool:
    """Whether the worker may have dropped the result for good.

    Where nobody knows when the job ended, or it would be later than now, what counts is when this
    machine saw it for the first time.
    """
    begin = completed_at if completed_at is not None and completed_at <= now else first_seen
    return begin is not None and abs((now - begin).total_seconds()) >= RESULT_SECONDS


def by_urgency(jobs: Sequence[Job], now: datetime) -> list[Job]:
    """Those whose result the worker still keeps, the next to go first; then all the others."""

    def key(job: Job) -> tuple[bool, float]:
        left = seconds_left(parse_timestamp(job.get("completed_at")), now)
        return (False, left) if left is not None and left > 0 else (True, 0.0)

    return sorted(jobs, key=key)


def wait_after(attempts: int, window: float | None) -> float:
    """Seconds until the next attempt: 30, 60, 120 … up to an hour, a quarter more or less.

    `window` is how many seconds the worker still keeps the result; while it does, three more
    attempts fit into what is left, but never one before ten seconds are over.
    """
    backoff = JOB_BACKOFF
    if window is not None and window > 0:
        longest = max(_SHORTEST_WAIT, min(backoff.longest, window / 3))
        backoff = backoff._replace(longest=longest)
    return backoff.wait(attempts)


def wait_between_cycles(interval: float, failures: int) -> float:
    """Seconds until the next cycle: doubled by each failure in a row, up to 15 minutes."""
    longest = max(interval, CYCLE_BACKOFF.longest)
    return CYCLE_BACKOFF._replace(first=interval, longest=longest).wait(failures + 1)
