"""How long the worker keeps a result, and which job therefore comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from lora_tui.clock import parse_timestamp

RESULT_SECONDS: Final = 30 * 60
"""What the worker promises, counted from the end of the training."""
EXPIRING_SECONDS: Final = 10 * 60
"""With less than this left, a job that is still waiting is worth a warning."""

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
