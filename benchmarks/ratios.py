"""All ratios in one picture: how many times better or worse than its peer each figure is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

_ROW: Final = 20
_HEAD: Final = 34
_WORDS: Final = 420
_BARS: Final = 420
_ENDS: Final = 60
_INK: Final = "#24292f"
_GOOD: Final = "#2a7f62"
_BAD: Final = "#b5532a"


@dataclass(frozen=True)
class Bar:
    """One ratio, turned so that more is better."""

    label: str
    median: float
    low: float
    high: float


def bars(figures: Sequence[dict[str, Any]]) -> list[Bar]:
    """Of the figures that have a peer; rates as they are, times and memory upside down."""
    found = []
    for entry in figures:
        if not entry["peer_median"] or min(entry["low"], entry["median"]) <= 0:
            continue
        scale = entry["ratio"] / entry["median"]
        low, median, high = (entry[key] * scale for key in ("low", "median", "high"))
        if not entry["unit"].endswith("/s"):
            low, median, high = 1 / high, 1 / median, 1 / low
        found.append(Bar(f"{entry['name']} / {entry['peer']}", median, low, high))
    return found


def svg(documents: Sequence[dict[str, Any]]) -> str:
    """The picture: a logarithmic axis, bars from the line of the peers, whiskers for the spread."""
    groups = [(document["title"], bars(document["figures"])) for document in documents]
    groups = [(title, found) for title, found in groups if found]
    ratios = [ratio for _, found in groups for bar in found for ratio in (bar.low, bar.high)]
    most = max([2.0, *ratios, *(1 / ratio for ratio in ratios)])
    height = _HEAD + _ROW * sum(len(found) + 2 for _, found in groups)
    width = _WORDS + _BARS + _ENDS

    def x(ratio: float) -> float:
        return _WORDS + _BARS / 2 * (1 + math.log(ratio) / math.log(most))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for tick in _ticks(most):
        parts += [
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_HEAD}" y2="{height}"'
            f' stroke="{_INK}" stroke-opacity="{0.8 if tick == 1 else 0.15}"/>',
            f'<text x="{x(tick):.1f}" y="{_HEAD - 8}" text-anchor="middle">{tick:g}×</text>',
        ]
    y = _HEAD
    for title, found in groups:
        y += _ROW
        parts.append(f'<text x="8" y="{y + 4}" font-weight="bold">{escape(title)}</text>')
        for bar in found:
            y += _ROW
            parts += _bar(bar, x(1), x(bar.low), x(bar.median), x(bar.high), y)
        y += _ROW
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, one: float, low: float, median: float, high: float, y: int) -> list[str]:
    left, right = sorted((one, median))
    colour = _GOOD if bar.median >= 1 else _BAD
    label = escape(_fitting(bar.label))
    return [
        f'<text x="{_WORDS - 12}" y="{y + 4}" text-anchor="end">{label}</text>',
        f'<rect x="{left:.1f}" y="{y - 6}" width="{max(right - left, 1):.1f}" height="12"'
        f' fill="{colour}" fill-opacity="0.75"/>',
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{_INK}"/>',
        f'<text x="{_WORDS + _BARS + 8}" y="{y + 4}">{bar.median:.2f}</text>',
    ]


def _fitting(label: str) -> str:
    return label if len(label) <= 66 else label[:65] + "…"


def _ticks(most: float) -> list[float]:
    steps = [2.0**power for power in range(1, 21) if 2.0**power <= most]
    steps = steps if len(steps) <= 4 else [10.0**p for p in range(1, 7) if 10.0**p <= most]
    return [1.0, *steps, *(1 / step for step in steps)]
