"""The one clock, the one reader of timestamps, and the one formula for waits between attempts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN = len("2026-11-23T09:16:55.591234+00:00")
_zone_of_user: tzinfo | None = None
"""The time zone of dates in output and input; None for the machine's zone."""


def now() -> datetime:
    """The current time in UTC. Nothing else reads the time of day; tests replace this function."""
    return datetime.now(UTC)


class Backoff(NamedTuple):
    """Waits that double from attempt to attempt, varied at random."""

    first: float
    """Seconds before the first repetition."""
    longest: float
    """Seconds; no wait is doubled beyond this."""
    least: float = 1.0
    """The smallest factor that chance applies to a wait."""
    most: float = 1.0
    """The largest one."""

    def wait(self, attempt: int, chance: float | None = None) -> float:
        """Seconds to wait before repetition number `attempt`, counted from 1.

        `chance` in [0, 1] is drawn here where it is not given.
        """
        doubled = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        if chance is not None:
            return doubled * (self.least + (self.most - self.least) * chance)
        import random  # late: `list` waits for this module

        return doubled * random.uniform(self.least, self.most)  # noqa: S311 - not for secrets


def parse_timestamp(value: object) -> datetime | None:
    """Read a timestamp of any form the backends send, as an aware datetime in UTC.

    `2026-11-23T09:16:55.591234+00:00` (PostgREST), `2026-11-23 09:16:55.59+00` (PostgreSQL's own
    text), a trailing Z, no zone (UTC), no seconds, or only a date. None for any other value: a row
    with a damaged time is still used.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if not isinstance(value, str):
        return None
    if is_written(value):
        # PostgREST's form and ours; ten times as fast as below. Python before 3.12 stops at a NUL
        try:
            if value.isprintable():
                return _in_reach(datetime.fromisoformat(value))
        except ValueError:
            pass
    match = _form().fullmatch(value.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=_zone(zone),
        )
        return _in_reach(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def use_utc(wanted: bool) -> None:
    """Show and read days in UTC, or (the default) in the zone of the machine."""
    global _zone_of_user
    _zone_of_user = UTC if wanted else None


def local(moment: datetime) -> datetime:
    """The moment in the user's zone; unchanged where that zone lacks the year."""
    try:
        return moment.astimezone(_zone_of_user)
    except (ValueError, OverflowError, OSError):
        return moment


def days_ago(days: int) -> datetime:
    """The start of the day `days` days ago, in the user's zone."""
    today = local(now()).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return _in_zone(today - timedelta(days=days))


def local_day(text: str) -> datetime | None:
    """The start of a day in the user's zone, from text like `2026-01-31`; None for other text."""
    try:
        day = _in_zone(datetime.strptime(text, "%Y-%m-%d"))  # noqa: DTZ007 - the user's zone
    except ValueError:
        return None
    return day if len(text) == 10 else None  # a shorter one is still being typed


def local_moment(text: str) -> datetime | None:
    """A timestamp that a user typed: in the user's zone if it names none.

    None where `parse_timestamp` can't read it.
    """
    moment = parse_timestamp(text)
    match = _form().fullmatch(text.strip())
    if moment is None or match is None or match[8] is not None:
        return moment
    return _in_zone(moment.replace(tzinfo=None))


def next_day(day: datetime) -> datetime | None:
    """The start of the next day, 23 to 25 hours later; None after the last possible date."""
    try:
        return _in_zone(day.replace(tzinfo=None) + timedelta(days=1))
    except OverflowError:
        return None


def month_start(moment: datetime) -> datetime:
    """The start of the moment's calendar month in the user's zone."""
    there = local(moment)
    return _in_zone(datetime(there.year, there.month, 1))  # noqa: DTZ001 - the user's zone


def next_month(start: datetime) -> datetime:
    """The start of the calendar month after the one that starts then, in the user's zone."""
    year, month = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return _in_zone(datetime(year, month, 1))  # noqa: DTZ001 - the user's zone


def _in_zone(naive: datetime) -> datetime:
    """A local date and time of the user's zone, as an aware datetime."""
    if _zone_of_user is not None:
        return naive.replace(tzinfo=_zone_of_user)
    try:
        return naive.astimezone()
    except (ValueError, OverflowError, OSError):  # the first and the last possible day
        return naive.replace(tzinfo=UTC)


def is_written(text: str) -> bool:
    """Whether a text that `parse_timestamp` reads has the form of `timestamp_text`."""
    marks = text[4:5] + text[7:8] + text[10:11] + text[19:20]
    return len(text) == _WRITTEN and marks == "--T." and text.endswith("+00:00")


def timestamp_text(moment: datetime) -> str:
    """The text of a timestamp: UTC, six decimals, fixed width, so text sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def microseconds(moment: datetime | None) -> int:
    """Microseconds since 1970, by which the cache sorts; 0 for None."""
    if moment is None:
        return 0
    since = moment - _EPOCH  # its parts: a third of the time of dividing it
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(value: int) -> datetime | None:
    """The moment of a number from `microseconds`."""
    return _EPOCH + timedelta(microseconds=value) if value else None


@cache
def _form() -> re.Pattern[str]:
    """The pattern of timestamps, compiled on first use: `list` does not need it."""
    return re.compile(
        r"(\d{4})-(\d\d)-(\d\d)"
        r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
        r"\s*(Z|z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?",
        re.ASCII,
    )


def _in_reach(moment: datetime) -> datetime | None:
    """The moment, unless a change of zone could move it beyond the possible dates."""
    return moment if 1 < moment.year < 9999 else None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    return timezone(sign * timedelta(hours=hours, minutes=minutes, seconds=seconds))
