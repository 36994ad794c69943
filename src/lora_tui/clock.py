"""The one clock, the one reader of timestamps, and the one formula for waits between attempts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN = len("2026-11-23T09:16:55.591234+00:00")
_zone_of_user: tzinfo | None = None
"""Where days begin, for what is shown and for what is asked for; None for the machine's zone."""


def now() -> datetime:
    """This moment in UTC. Tests replace this function, nothing else asks for the time of day."""
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
    text), a trailing Z, no zone (UTC is meant), no seconds, or a date alone. None where it is
    none of these: a row with a damaged time is still a row.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if not isinstance(value, str):
        return None
    if len(value) == _WRITTEN and value[10] + value[19] == "T." and value.endswith("+00:00"):
        # PostgREST's form of a moment, and ours. So read it takes a tenth of the time; but Python
        # before 3.12 stops at a NUL
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
    """The moment in the user's zone; as it is where that zone has no such year."""
    try:
        return moment.astimezone(_zone_of_user)
    except (ValueError, OverflowError, OSError):
        return moment


def days_ago(days: int) -> datetime:
    """The beginning of that day in the user's zone; 0 is today."""
    today = local(now()).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return _in_zone(today - timedelta(days=days))


def local_day(text: str) -> datetime | None:
    """The beginning of a day in the user's zone, from `2026-01-31`; None where it is no day."""
    try:
        day = _in_zone(datetime.strptime(text, "%Y-%m-%d"))  # noqa: DTZ007 - the user's zone
    except ValueError:
        return None
    return day if len(text) == 10 else None  # else one that is still being typed


def local_moment(text: str) -> datetime | None:
    """A moment as a user writes it: in the user's zone where the text names none.

    None where it is no timestamp that `parse_timestamp` reads.
    """
    moment = parse_timestamp(text)
    match = _form().fullmatch(text.strip())
    if moment is None or match is None or match[8] is not None:
        return moment
    return _in_zone(moment.replace(tzinfo=None))


def next_day(day: datetime) -> datetime | None:
    """The beginning of the day after; it may be 23 or 25 hours later. None at the end of time."""
    try:
        return _in_zone(day.replace(tzinfo=None) + timedelta(days=1))
    except OverflowError:
        return None


def _in_zone(naive: datetime) -> datetime:
    """A local date and time of the user's zone, as an aware datetime."""
    if _zone_of_user is not None:
        return naive.replace(tzinfo=_zone_of_user)
    try:
        return naive.astimezone()
    except (ValueError, OverflowError, OSError):  # the first and the last day that there is
        return naive.replace(tzinfo=UTC)


def timestamp_text(moment: datetime) -> str:
    """The one written form: UTC, six decimals, fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def microseconds(moment: datetime | None) -> int:
    """A moment as the cache sorts it: microseconds since 1970; 0 is unknown."""
    return 0 if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime | None:
    """The moment that `microseconds` gave."""
    return _EPOCH + timedelta(microseconds=value) if value else None


@cache
def _form() -> re.Pattern[str]:
    """Compiled when the first timestamp is read: `list` need not wait for it."""
    return re.compile(
        r"(\d{4})-(\d\d)-(\d\d)"
        r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
        r"\s*(Z|z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?",
        re.ASCII,
    )


def _in_reach(moment: datetime) -> datetime | None:
    """In the first and in the last year, a few hours more or less are beyond all dates."""
    return moment if 1 < moment.year < 9999 else None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    return timezone(sign * timedelta(hours=hours, minutes=minutes, seconds=seconds))
