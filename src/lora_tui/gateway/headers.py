"""Parses untrusted headers: lengths, ranges, validators and Retry-After."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from lora_tui import clock

_LONG_PAUSE: Final = 60.0


def byte_count(text: str | None) -> int | None:
    """A number of bytes; None if it is not a number that a file could have."""
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def content_span(text: str | None) -> tuple[int, int, int | None] | None:
    """Start, end (the byte after it) and total size of a Content-Range; None if it is invalid."""
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", text or "", re.ASCII)
    if not found:
        return None
    start, end, total = int(found[1]), int(found[2]) + 1, byte_count(found[3])
    return (start, end, total) if start < end and (total is None or end <= total) else None


def strong_etag(text: str | None) -> str | None:
    """The ETag if it is a strong one; weak ones do not identify bytes."""
    return text if text and text.startswith('"') and text.isascii() else None


def etag_value(text: str | None) -> str | None:
    """A strong ETag without its quotes, in lower case; None for a weak, empty or unusable one."""
    found = re.fullmatch(r'"?([!#-~]{1,200})"?', text or "", re.ASCII)
    return found[1].lower() if found and not found[1].startswith("W/") else None


def md5_of_etag(etag: str | None) -> str | None:
    """The MD5 in an ETag, in lower case; None for other ETags (of multipart uploads)."""
    found = re.fullmatch(r'"?([0-9a-f]{32})"?', etag or "", re.IGNORECASE)
    return found[1].lower() if found else None


def retry_seconds(text: str | None) -> float | None:
    """The seconds of a Retry-After, which is a number or a date; None if it is neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - clock.now()).total_seconds())
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        return None


def with_retry_after(details: str, retry_after: str | None) -> str:
    """The details, with the Retry-After if it is too long to wait for."""
    seconds = retry_seconds(retry_after)
    if seconds is None or seconds <= _LONG_PAUSE:
        return details
    hours = seconds / 3600
    pause = f"{hours / 24:,.0f} days" if hours > 48 else f"{hours:,.1f} hours"
    return f"{details}; it asks to wait {pause}, which is too long"
