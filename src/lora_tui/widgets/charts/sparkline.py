"""Draws a small curve in one or a few lines of braille or ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from lora_tui.widgets.charts.axes import MIN_SPAN

_ASCII_LEVELS: Final = " .:-=+*#"
_ASCII_HEIGHTS: Final = "_.-'"
"""Heights of a quarter of a cell each; higher cells are filled."""
# dots of a braille cell from the bottom up, for its left and right column
_LEFT: Final = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT: Final = (0x00, 0x80, 0xA0, 0xB0, 0xB8)


@lru_cache(maxsize=4096)
def sparkline(values: tuple[float, ...], width: int, *, ascii_only: bool = False) -> str:
    """The values as a filled curve, `width` cells wide; blanks without values.

    The lowest value has one dot, so that it differs from a gap. Values that are not finite are
    skipped.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width <= 0:
        return " " * max(0, width)
    if ascii_only:
        levels = _levels(_resampled(finite, width), len(_ASCII_LEVELS) - 1)
        return "".join(_ASCII_LEVELS[level] for level in levels)
    levels = _levels(_resampled(finite, width * 2), 4)
    return "".join(
        chr(0x2800 | _LEFT[left] | _RIGHT[right])
        for left, right in zip(levels[::2], levels[1::2], strict=True)
    )


@lru_cache(maxsize=512)
def area_chart(
    values: tuple[float, ...], width: int, height: int, *, ascii_only: bool = False
) -> tuple[str, ...]:
    """Like `sparkline`, `height` cells high, the top row first."""
    if height <= 1:
        return (sparkline(values, width, ascii_only=ascii_only),) * max(0, height)
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width <= 0:
        return (" " * max(0, width),) * height
    if ascii_only:
        levels = _levels(_resampled(finite, width), height * len(_ASCII_HEIGHTS))
        return tuple(
            "".join(_ascii_cell(level - floor) for level in levels)
            for floor in range((height - 1) * 4, -1, -4)
        )
    levels = _levels(_resampled(finite, width * 2), height * 4)
    rows = []
    for floor in range((height - 1) * 4, -1, -4):
        dots = [max(0, min(4, level - floor)) for level in levels]
        rows.append(
            "".join(
                chr(0x2800 | _LEFT[left] | _RIGHT[right]) if left or right else " "
                for left, right in zip(dots[::2], dots[1::2], strict=True)
            )
        )
    return tuple(rows)


def _ascii_cell(level: int) -> str:
    if level <= 0:
        return " "
    return _ASCII_HEIGHTS[level - 1] if level <= len(_ASCII_HEIGHTS) else ":"


def _resampled(values: Sequence[float], count: int) -> list[float]:
    """Resample to `count` values: means of neighbours, or repeated values."""
    stretched = []
    for index in range(count):
        start = index * len(values) // count
        end = max(start + 1, (index + 1) * len(values) // count)
        stretched.append(sum(values[start:end]) / (end - start))
    return stretched


def _levels(values: Sequence[float], highest: int) -> list[int]:
    """Scale the values to levels from 1 to `highest`; a flat curve has level 1.

    The square root spreads low values, because the slow part of a loss curve matters most.
    """
    low, high = min(values), max(values)
    span = high - low
    # means of equal values differ by rounding errors
    if span <= max(abs(low), abs(high)) * MIN_SPAN or not math.isfinite(span):
        return [1] * len(values)
    return [1 + round(math.sqrt((value - low) / span) * (highest - 1)) for value in values]
