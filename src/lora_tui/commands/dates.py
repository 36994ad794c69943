"""Reads the dates of the options `--since` and `--until`."""

from __future__ import annotations

from datetime import datetime

from lora_tui import clock
from lora_tui.errors import UsageError


def period_of_options(
    since: str | None, until: str | None
) -> tuple[datetime | None, datetime | None]:
    """From a moment on, and before another, in the user's zone; None is without end.

    The day of `--until` belongs to it. Raises UsageError.
    """
    start, before = _moment(since), _moment(until, whole_day=True)
    if start is not None and before is not None and before <= start:
        raise UsageError("--until is before --since", remedy="exchange the two dates")
    return start, before


def _moment(text: str | None, *, whole_day: bool = False) -> datetime | None:
    """`whole_day`: the end of the day, where a day is given. Raises UsageError."""
    if text is None:
        return None
    day = clock.local_day(text.strip())
    if day is not None:
        return clock.next_day(day) if whole_day else day
    moment = clock.local_moment(text)
    if moment is None:
        raise UsageError(
            f"{text!r} is not a date", remedy="write it like 2026-11-23 or 2026-11-23T15:54"
        )
    return moment
