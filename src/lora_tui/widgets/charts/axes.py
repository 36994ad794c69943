"""Computes the ticks of an axis: round values with a step of 1, 2 or 5 times a power of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats

MIN_SPAN: Final = 1e-9
"""A range smaller than this, relative to its values, counts as one value with rounding errors."""
NEAR_ZERO: Final = 1e-90
"""Smaller differences count as zero; a logarithmic axis treats smaller values as zero."""
_PLAIN_BELOW: Final = 1e7
_MOST_DECIMALS: Final = 6
_DAY: Final = 86_400
_CLOCK_STEPS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 10_800, 21_600, 43_200, _DAY,
)  # fmt: skip


@dataclass(frozen=True)
class Ticks:
    """Tick positions in ascending order, with their labels."""

    values: tuple[float, ...]
    labels: tuple[str, ...]


def padded_range(values: Sequence[float], *, margin: float = 0.0) -> tuple[float, float]:
    """A range around finite values with a relative margin; a single value is in its middle."""
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low <= max(size * MIN_SPAN, NEAR_ZERO):
        room = size * 0.05 if size > NEAR_ZERO else 1.0
        return low - room, high + room
    room = (high - low) * margin
    return low - room, high + room


def linear_ticks(low: float, high: float, most: int) -> Ticks:
    """At most `most` evenly spaced round values in [low, high]; `most` counts as at least 2."""
    step = _nice_step((high - low) / (4 * max(1, most)))
    while math.floor(high / step) - math.ceil(low / step) + 1 > max(2, most):
        step = _nice_step(step * 1.01)
    first, last = math.ceil(low / step), math.floor(high / step)
    values = tuple(index * step for index in range(first, last + 1))
    return Ticks(values, tuple(_label(value, step) for value in values))


def time_ticks(low: float, high: float, most: int) -> Ticks:
    """Like `linear_ticks` for seconds: steps of whole minutes, hours and days."""
    least = (high - low) / max(1, most)
    if least < 1:
        ticks = linear_ticks(low, high, most)
        return Ticks(ticks.values, tuple(f"{label} s" for label in ticks.labels))
    days = max(1.0, _nice_step(least / _DAY))
    step = next((float(step) for step in _CLOCK_STEPS if step >= least), days * _DAY)
    first, last = math.ceil(low / step), math.floor(high / step)
    values = tuple(index * step for index in range(first, last + 1))
    return Ticks(values, tuple(_clock_label(value) for value in values))


def log_ticks(low: float, high: float, most: int) -> Ticks:
    """Like `linear_ticks` for a logarithmic axis; both ends are positive.

    Powers of ten with 1-2-5 or 1-3 between them where they fit, else evenly spaced values, so that
    an axis always has labels.
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [
            value
            for exponent in exponents
            for digit in digits
            if low <= (value := digit * 10.0**exponent) <= high
        ]
        if 3 <= len(values) <= most:
            return _log_labels(values)
    powers = [10.0**exponent for exponent in exponents if low <= 10.0**exponent <= high]
    if len(powers) > most:
        stride = math.ceil(len(powers) / max(1, most))
        return _log_labels(powers[::stride])
    return linear_ticks(low, high, most)


def _log_labels(values: Sequence[float]) -> Ticks:
    return Ticks(tuple(values), tuple(_short(value) for value in values))


def _nice_step(least: float) -> float:
    """The smallest 1-2-5 step of at least `least`."""
    exponent = math.floor(math.log10(least))
    for digit in (1, 2, 5, 10):
        step = float(f"{digit}e{exponent}")
        if step >= least * (1 - 1e-12):
            return step
    return float(f"1e{exponent + 1}")


def _label(value: float, step: float) -> str:
    """The label with as many digits as neighbouring ticks need."""
    value += 0.0  # no negative zero
    decimals = max(0, -math.floor(math.log10(step) + 1e-12))
    if value == 0:
        return f"{value:.{decimals}f}" if decimals <= _MOST_DECIMALS else "0"
    if decimals <= _MOST_DECIMALS and abs(value) < _PLAIN_BELOW:
        return f"{value:,.{decimals}f}"
    digits = max(0, math.ceil(math.log10(abs(value) / step) - 1e-9))
    return formats.scientific(value, digits)


def _clock_label(seconds: float) -> str:
    """`0`, `45 s`, `1:30 min`, `20 min`, `1:30 h`, `3 d`."""
    if seconds == 0:
        return "0"
    sign, whole = ("-", -round(seconds)) if seconds < 0 else ("", round(seconds))
    for unit, length, part in (("d", _DAY, 0), ("h", 3600, 60), ("min", 60, 1)):
        if whole < length:
            continue
        if whole % length == 0:
            return f"{sign}{whole // length:,} {unit}"
        if part and whole % part == 0:
            return f"{sign}{whole // length}:{whole % length // part:02} {unit}"
        if part == 0 and whole % 3600 == 0:
            return f"{sign}{whole // 3600:,} h"
    return f"{sign}{whole} s" if whole < 60 else f"{sign}{formats.duration(whole)}"


def _short(value: float) -> str:
    if 1e-4 <= value < _PLAIN_BELOW:
        return f"{value:,.10g}" if value < 1e3 else f"{value:,.0f}"
    return formats.scientific(value, 6)
