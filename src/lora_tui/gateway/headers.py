"""Headers that tell of bytes, read without believing them: lengths, ranges, validators."""

from __future__ import annotations

import re


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
