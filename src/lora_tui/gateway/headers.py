"""Headers that tell of bytes, read without believing them: lengths, ranges, validators."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from lora_tui import clock

_LONG_PAUSE: Final = 60.0


def byte_count(text: str | None) -> int | None:
    """A number of bytes; None where it is none that a file could have."""
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def content_range(text: str | None) -> tuple[int, int | None] | None:
    """Where a part begins and how long the whole is, None where that is not told.

    None for both where the header makes no sense.
    """
    part = content_span(text)
    return None if part is None else (part[0], part[2])


def content_span(text: str | None) -> tuple[int, int, int | None] | None:
    """Where a part begins, where it ends (the byte after it), and how long the whole is."""
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", text or "", re.ASCII)
    if not found:
        return None
    start, end, total = int(found[1]), int(found[2]) + 1, byte_count(found[3])
    return (start, end, total) if start < end and (total is None or end <= total) else None


def strong_etag(text: str | None) -> str | None:
    """A strong ETag guards a resume; a weak one promises nothing about bytes."""
    return text if text and text.startswith('"') and text.isascii() else None


def retry_seconds(text: str | None) -> float | None:
    """The pause that a Retry-After asks for, in seconds or as a date; None where it is neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - clock.now()).total_seconds())
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        return None


def with_pause(details: str, retry_after: str | None) -> str:
    """The same details; a Retry-After that is too long to wait for is added."""
    seconds = retry_seconds(retry_after)
    if seconds is None or seconds <= _LONG_PAUSE:
        return details
    hours = seconds / 3600
    pause = f"{hours / 24:,.0f} days" if hours > 48 else f"{hours:,.1f} hours"
    return f"{details}; it asks to wait {pause}, which is too long"
