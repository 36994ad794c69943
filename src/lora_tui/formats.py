"""Formats every number that a person reads: stars, losses, counts, sizes, money, times, ages.

May import only `clock`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from lora_tui import clock

NO_VALUE = "–"
"""Shown where a value is unknown or not finite."""
_MAX_PLAIN = 1e15
"""Numbers from this one on are shown in scientific notation, which is short."""
_MAX_PLAIN_LOSS = 1e6
_MAX_PLAIN_PERPLEXITY = 1e7
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
)  # fmt: skip


def stars(score: int | None, *, ascii_only: bool = False) -> str:
    """Five cells wide: `★★★☆☆`, or `***..` with `ascii_only`."""
    full, empty = ("*", ".") if ascii_only else ("★", "☆")
    if score is None:
        return NO_VALUE.ljust(5) if not ascii_only else "-".ljust(5)
    score = min(5, max(0, score))
    return full * score + empty * (5 - score)


def score(value: int | None) -> str:
    """Stars out of five: `4/5`."""
    return NO_VALUE if value is None else f"{value}/5"


def loss(value: float | None) -> str:
    """Nats a token with four decimals, as the web pages show them; `1.23e+07` from a million on."""
    return _fixed(value, 4, scientific_from=_MAX_PLAIN_LOSS)


def loss_in(value: float | None, width: int) -> str:
    """A loss with as many of four decimals as fit into so many cells: a cut number misleads."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    fixed = [] if abs(value) >= _MAX_PLAIN_LOSS else [f"{value:,.{n}f}" for n in (4, 3, 2, 1, 0)]
    return _first_that_fits(width, *fixed, *(scientific(value, digits) for digits in (2, 1, 0)))


def money_in(value: float | None, width: int) -> str:
    """US dollars that fit into so many cells: without cents where these have no room."""
    text = money(value)
    if len(text) <= width or value is None:
        return text
    sign = "-$" if value < 0 else "$"
    return _first_that_fits(
        width, f"{sign}{abs(value):,.0f}", *(f"{sign}{scientific(abs(value), n)}" for n in (1, 0))
    )


def _first_that_fits(width: int, *texts: str) -> str:
    return next((text for text in texts if len(text) <= width), texts[-1])


def perplexity(value: float | None) -> str:
    """Two decimals; `1.23e+07` from ten million on."""
    return _fixed(value, 2, scientific_from=_MAX_PLAIN_PERPLEXITY)


def count(value: float | None) -> str:
    """A whole number with thousands separators: `1,234`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e}" if abs(value) >= _MAX_PLAIN else f"{round(value):,}"


def first_few(sentences: Sequence[str], most: int = 3, of: int | None = None) -> list[str]:
    """At most so many of similar sentences, and how many more there are.

    `of` is the number of all, where the sequence has only the first of them.
    """
    more = (len(sentences) if of is None else of) - most
    if more <= 0:
        return [*sentences]
    return [*sentences[:most], f"… and {count(more)} more like this"]


def counted(value: float, one: str, many: str = "") -> str:
    """A count with its noun: `1 point`, `2 points`; `many` is the plural that is not one + s."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def some_of(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are: `a, b, c and 2 more`."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {count(rest)} more" if rest > 0 else "")


def large_count(value: float) -> str:
    """A large count in words: `1.3 billion`, `20.2 million`; empty below a million."""
    for unit, length in (("billion", 1e9), ("million", 1e6)):
        if value >= length:
            return f"{value / length:.1f} {unit}"
    return ""


def step(value: float) -> str:
    """A training step: `1,200`, or `0.5` where steps are fractions."""
    return f"{value:,.10g}"


def percent(value: float | None) -> str:
    """A number of percent with one decimal: `34.5 %`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e} %" if abs(value) >= _MAX_PLAIN else f"{value:.1f} %"


def share(value: float | None) -> str:
    """A part of 1 as whole percent: `34 %`. Only the whole is `100 %`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if 0.99 < value < 1:
        return "99 %"
    return f"{value * 100:.2e} %" if abs(value) >= _MAX_PLAIN else f"{value * 100:,.0f} %"


def zoom(factor: float, *, ascii_only: bool = False) -> str:
    """A magnification: `2.5×`, `40×`; `2.5x` with `ascii_only`."""
    digits = f"{factor:,.0f}" if factor >= 9.95 else f"{factor:.1f}"
    return f"{digits}{'x' if ascii_only else '×'}"


def money(value: float | None) -> str:
    """US dollars with cents: `$1,234.50`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    amount = abs(value)
    digits = f"{amount:.2e}" if amount >= _MAX_PLAIN else f"{amount:,.2f}"
    return f"-${digits}" if value < 0 else f"${digits}"


def hourly_price(value: float | None) -> str:
    """US dollars per hour: `$2.50/h`."""
    return NO_VALUE if value is None or not math.isfinite(value) else f"{money(value)}/h"


def hours(value: float | None) -> str:
    """Hours with two decimals: `1.25 h`."""
    return NO_VALUE if value is None or not math.isfinite(value) else f"{_fixed(value, 2)} h"


def size(value: float | None) -> str:
    """Bytes in powers of 1024 with three significant digits: `24.0 MiB`."""
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


def exact_bytes(value: int) -> str:
    """All digits of a number of bytes: `1 byte`, `1,234 bytes`."""
    return "1 byte" if value == 1 else f"{value:,} bytes"


def gigabytes(value: float | None) -> str:
    """The memory of a GPU, as its vendor writes it: `80 GB`."""
    return NO_VALUE if value is None or not math.isfinite(value) else f"{value:g} GB"


def rate(bytes_per_second: float | None) -> str:
    """Bytes per second: `24.0 MiB/s`."""
    return NO_VALUE if bytes_per_second is None else f"{size(bytes_per_second)}/s"


def pace(steps_per_second: float | None) -> str:
    """How fast a run goes: `2.31 steps/s`, or `12.4 s/step` where a step takes longer than one."""
    if steps_per_second is None or not math.isfinite(steps_per_second) or steps_per_second <= 0:
        return NO_VALUE
    if steps_per_second >= 1:
        return f"{significant(steps_per_second)} steps/s"
    return f"{significant(1 / steps_per_second)} s/step"


def latency(seconds: float | None) -> str:
    """A short time: `85 ms`, `1.24 s`, `31 s`."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return NO_VALUE
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:,.0f} s"


def token_rate(tokens_per_second: float | None) -> str:
    """Tokens a second, without the unit: `8.31`, `42.0`, `1,250`."""
    if tokens_per_second is None or not math.isfinite(tokens_per_second):
        return NO_VALUE
    digits = 2 if tokens_per_second < 9.995 else 1 if tokens_per_second < 99.95 else 0
    return f"{tokens_per_second:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """Time passed or remaining: `1:02:03`, `02:03`; `--:--` where it is unknown."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "--:--"
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def about(seconds: float | None) -> str:
    """An estimate of the time that is left: `about 12 min`, `about 2.5 h`, `about 3 d`."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return NO_VALUE
    if seconds < 60:
        return "under 1 min"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    if seconds < 36_000:
        return f"about {seconds / 3600:.1f} h"
    if seconds < 172_800:
        return f"about {seconds / 3600:.0f} h"
    days = seconds / 86_400
    return f"about {days:,.0f} d" if days <= 365 else "over a year"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits: `just now`, `5 min ago`, `3 d ago`.

    `in 3 d` for what is more than an hour ahead; clocks differ by less than that.
    """
    if moment is None:
        return "never"
    passed = now - moment
    if passed <= -timedelta(hours=1):
        return f"in {age(now, moment).removesuffix(' ago')}"
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
    """`2026-11-23`, in the user's time zone."""
    return NO_VALUE if moment is None else clock.local(moment).strftime("%Y-%m-%d")


def short_date(moment: datetime | None, now: datetime) -> str:
    """Six cells wide, in the user's time zone: `Nov 23` within the last year, else `Nov'25`."""
    if moment is None:
        return NO_VALUE
    local = clock.local(moment)
    if abs(now - moment) < timedelta(days=330):
        return f"{_MONTHS[local.month - 1]} {local.day:>2}"
    return f"{_MONTHS[local.month - 1]}'{local.year % 100:02}"


def date_time(moment: datetime | None) -> str:
    """`2026-11-23 09:16`, in the user's time zone."""
    return NO_VALUE if moment is None else clock.local(moment).strftime("%Y-%m-%d %H:%M")


def number(value: float | None) -> str:
    """A hyperparameter with at most six significant digits: `2e-4`, `0.05`, `16`."""
    if value is None:
        return NO_VALUE
    if value != 0 and abs(value) < 1e-3:
        return scientific(value, 6)
    return f"{value:.6g}"


def significant(value: float | None) -> str:
    """A measured value with three significant digits: `0.0123`, `1.23`, `123`, `1.2e-5`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return scientific(value, 2)
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def scientific(value: float, digits: int) -> str:
    """`1.5e-7`, with at most `digits` digits after the point and no trailing zeros."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _fixed(value: float | None, decimals: int, *, scientific_from: float = _MAX_PLAIN) -> str:
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{value:.2e}" if abs(value) >= scientific_from else f"{value:,.{decimals}f}"
