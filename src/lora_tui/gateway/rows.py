"""Reads an answer of the Data API: its rows, their total count, and the server's time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from lora_tui.errors import BackendError
from lora_tui.gateway.answers import check, read_json
from lora_tui.gateway.paging import Row
from lora_tui.json_values import parse_json_leniently


def server_time_of(response: httpx.Response) -> datetime | None:
    """The Date header; None where it is missing or not a date."""
    try:
        return parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def rows_of(response: httpx.Response, what: str) -> tuple[list[Row], int]:
    """The rows, and how many items of the list are not rows (JSON objects)."""
    try:
        answer = parse_json_leniently(check(response, what).content)
    except ValueError:
        answer = read_json(response, what)  # which says what is wrong with it
    if not isinstance(answer, list):
        raise BackendError(f"Could not {what}: the answer is not a list of rows")
    rows = [row for row in answer if isinstance(row, dict)]
    return rows, len(answer) - len(rows)


def total_of(response: httpx.Response) -> int | None:
    """How many rows there are without limit and offset, where the server says so."""
    match = re.search(r"/(\d{1,18})$", response.headers.get("content-range", ""), re.ASCII)
    return int(match[1]) if match else None
