"""Reads the values of a condition by the kind of the column: numbers, sizes, hours, dates.

`200MB`, `$1.50`, `90min`, `2026-11-01`, `7d`: what may be written is in docs/conditions.md.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.cache.model_columns import Kind


class Value(NamedTuple):
    """A value as SQL compares it: of a date the first microsecond."""

    first: int | float | str
    end: int | None = None
    """Of a day or another period the first microsecond after it; None for a single value."""


EXPECTED: Final = {
    Kind.TEXT: "a text, in quotes if it has several words",
    Kind.TAGS: "one word",
    Kind.NUMBER: "a number, like 1.2 or 2e-4",
    Kind.WHOLE: "a number, like 16",
    Kind.MONEY: "US dollars, like 1.50 or $1.50",
    Kind.SIZE: "a size, like 200MB or 1.5GB",
    Kind.HOURS: "hours, like 2 or 1.5, or 90min",
    Kind.MOMENT: "a date, like 2026-11-01, today, or 7d for 7 days ago",
    Kind.YES_NO: "yes or no",
    Kind.STARS: "stars, from 0 to 5",
}
"""What a value of each kind looks like, for error messages."""

DESCRIBED: Final = {
    Kind.TEXT: "a text",
    Kind.TAGS: "a list of words",
    Kind.NUMBER: "a number",
    Kind.WHOLE: "a whole number",
    Kind.MONEY: "an amount of US dollars",
    Kind.SIZE: "a size",
    Kind.HOURS: "a time in hours",
    Kind.MOMENT: "a date",
    Kind.YES_NO: "yes or no",
    Kind.STARS: "a rating in stars",
}
"""What the values of each kind are, for error messages."""

_NUMBER: Final = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_MEASURE: Final = re.compile(_NUMBER + r"\s*([a-zA-Z]*)", re.ASCII)
_AGE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([a-zA-Z]+)", re.ASCII)
_MONTH: Final = re.compile(r"\d{4}-\d\d", re.ASCII)
_SECONDS: Final = re.compile(r"\d\d:\d\d:\d\d", re.ASCII)
_SIZES: Final = {
    unit + ending: 1024**power
    for power, unit in enumerate(("", "k", "m", "g", "t"))
    for ending in (("", "b") if not unit else ("", "b", "ib"))
}
_HOURS: Final = {
    "": 1.0, "h": 1.0, "hour": 1.0, "hours": 1.0,
    "min": 1 / 60, "m": 1 / 60, "s": 1 / 3600, "d": 24.0,
}  # fmt: skip
_AGES: Final = {
    "min": 1 / 1440, "h": 1 / 24, "d": 1.0, "day": 1.0, "days": 1.0, "w": 7.0, "mo": 30.0,
    "y": 365.0,
}  # fmt: skip
"""Days; without `m`, which is minutes to some and months to others."""
_YES_NO: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), 1),
    **dict.fromkeys(("no", "false", "off", "0"), 0),
}
_MOST_STARS: Final = 5


def read_value(kind: Kind, text: str) -> Value | None:
    """The value that the text means for a column of this kind; None where it means none."""
    match kind:
        case Kind.TEXT:
            return Value(text) if text else None
        case Kind.TAGS:
            text = text.lstrip("#@")  # as tags and aliases are written elsewhere
            return Value(text) if text and not any(map(str.isspace, text)) else None
        case Kind.YES_NO:
            answer = _YES_NO.get(text.lower())
            return None if answer is None else Value(answer)
        case Kind.MOMENT:
            return _moment(text)
        case Kind.STARS:
            if text and not text.strip("★"):
                text = str(len(text))
            found = _measure(text, {"": 1})
            return found if found and 0 <= float(found.first) <= _MOST_STARS else None
        case Kind.MONEY:
            return _measure(text.strip().removeprefix("$"), {"": 1, "usd": 1})
        case Kind.SIZE:
            return _measure(text, _SIZES)
        case Kind.HOURS:
            return _measure(text, _HOURS)
        case _:
            return _measure(text, {"": 1})


def _measure(text: str, units: dict[str, int] | dict[str, float]) -> Value | None:
    match = _MEASURE.fullmatch(text.strip())
    if match is None:
        return None
    factor = units.get(match[2].lower())
    amount = math.inf if factor is None else float(match[1]) * factor
    if not math.isfinite(amount):
        return None
    return Value(int(amount) if amount.is_integer() and abs(amount) < 2**53 else amount)


def _moment(text: str) -> Value | None:
    try:
        return _period(text.strip())
    except (ValueError, OverflowError):  # beyond the possible dates
        return None


def _period(text: str) -> Value | None:
    """A day, a month, a minute; or the moment so long ago."""
    named = {"today": 0, "yesterday": 1}.get(text.lower())
    if named is not None:
        start = clock.days_ago(named)
        return _between(start, clock.next_day(start))
    age = _AGE.fullmatch(text)
    if age is not None:
        days = _AGES.get(age[2].lower())
        if days is None:
            return None
        return Value(clock.microseconds(clock.now() - timedelta(float(age[1]) * days)))
    month = _MONTH.fullmatch(text)
    day = clock.local_day(f"{text}-01" if month else text)
    if day is not None:
        return _between(day, clock.next_month(day) if month else clock.next_day(day))
    moment = clock.local_moment(text)
    if moment is None:
        return None
    if "." in text or "," in text:
        return _between(moment, moment + timedelta(microseconds=1))
    return _between(moment, moment + timedelta(seconds=1 if _SECONDS.search(text) else 60))


def _between(start: datetime, end: datetime | None) -> Value | None:
    return None if end is None else Value(clock.microseconds(start), clock.microseconds(end))
