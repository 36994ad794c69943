"""Reads the dates of options, like `--since`."""

from __future__ import annotations

from datetime import datetime

from lora_tui import clock
from lora_tui.errors import UsageError


def moment_of_option(text: str | None, *, whole_day: bool = False) -> datetime | None:
    """A day or a moment in the user's zone; None for None.

    `whole_day`: the end of the day, where a day is given. Raises UsageError.
    """
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
