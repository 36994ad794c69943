"""The one place that turns figures into words: stars, losses, sizes, money, times and ages."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from lora_tui import clock

NO_VALUE = "–"
_TOO_LONG = 1e15
"""From this number on, scientific notation: all digits would fill the screen."""
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
)  # fmt: skip


def stars(score: int | None, *, ascii_only: bool = False) -> str:
    """Five places wide: `★★★☆☆`, or `***..` where only ASCII can be shown."""
    full, empty = ("*", ".") if ascii_only else ("★", "☆")
    if score is None:
        return NO_VALUE.ljust(5) if not ascii_only else "-".ljust(5)
    score = min(5, max(0, score))
    return full * score + empty * (5 - score)


def score(value: int | None) -> str:
    """`4/5`."""
    return NO_VALUE if value is None else f"{value}/5"


def loss(value: float | None) -> str:
    """Four decimals, as the web pages show it."""
    return _fixed(value, 4)


def perplexity(value: float | None) -> str:
    """Two decimals; by powers of ten where it has run away."""
    if value is not None and math.isfinite(value) and abs(value) >= 1e7:
        return f"{value:.2e}"
    return _fixed(value, 2)


def count(value: float | None) -> str:
    """Whole, with thousands separators."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e}" if abs(value) >= _TOO_LONG else f"{round(value):,}"


def percent(value: float | None) -> str:
    """One decimal and the sign."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e} %" if abs(value) >= _TOO_LONG else f"{value:.1f} %"


def money(value: float | None) -> str:
    """US dollars with cents."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    amount = abs(value)
    digits = f"{amount:.2e}" if amount >= _TOO_LONG else f"{amount:,.2f}"
    return f"-${digits}" if value < 0 else f"${digits}"


def hours(value: float | None) -> str:
    """Hours with two decimals."""
    return NO_VALUE if value is None or not math.isfinite(value) else f"{_fixed(value, 2)} h"


def size(value: float | None) -> str:
    """Bytes in powers of 1024, three significant digits: `24.0 MiB`."""
    if value is None:
        return NO_VALUE
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 1024 or unit == "TiB":
            break
        amount /= 1024
    if unit == "B":
        return f"{amount:.0f} B"
    return f"{amount:.0f} {unit}" if abs(amount) >= 100 else f"{amount:.1f} {unit}"


def rate(bytes_a_second: float | None) -> str:
    """Bytes a second."""
    return NO_VALUE if bytes_a_second is None else f"{size(bytes_a_second)}/s"


def duration(seconds: float | None) -> str:
    """`1:02:03`, `02:03`; for what remains or has passed."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "--:--"
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits: `just now`, `5 min ago`, `3 d ago`."""
    if moment is None:
        return "never"
    passed = now - moment
    if passed < timedelta(seconds=45):
        return "just now"
    for unit, length in (
        ("y", timedelta(days=365)),
        ("mo", timedelta(days=30)),
        ("d", timedelta(days=1)),
        ("h", timedelta(hours=1)),
        ("min", timedelta(minutes=1)),
    ):
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return "1 min ago"


def date(moment: datetime | None) -> str:
    """`2026-11-23`, in the local zone of the user."""
    return NO_VALUE if moment is None else clock.local(moment).strftime("%Y-%m-%d")


def short_date(moment: datetime | None, now: datetime) -> str:
    """`Nov 23` where it was within the last year, else `Nov'25`; six cells wide."""
    if moment is None:
        return NO_VALUE
    local = clock.local(moment)
    if abs(now - moment) < timedelta(days=330):
        return f"{_MONTHS[local.month - 1]} {local.day:>2}"
    return f"{_MONTHS[local.month - 1]}'{local.year % 100:02}"


def date_time(moment: datetime | None) -> str:
    """`2026-11-23 09:16`, in the local zone of the user."""
    return NO_VALUE if moment is None else clock.local(moment).strftime("%Y-%m-%d %H:%M")


def number(value: float | None) -> str:
    """A hyperparameter as people write it: `2e-4`, `0.05`, `16`."""
    if value is None:
        return NO_VALUE
    if value != 0 and abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.6g}"


def _fixed(value: float | None, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e}" if abs(value) >= _TOO_LONG else f"{value:,.{decimals}f}"
