"""Stars and the convergence badge: words and shapes carry the meaning, colour repeats it."""

from __future__ import annotations

from typing import Final

from lora_tui import formats

Span = tuple[str, str]
"""Text and the name of the style that it is shown in."""

_SHAPES: Final = {
    "excellent": ("◆", "excellent"),
    "good": ("●", "good"),
    "fair": ("◐", "fair"),
    "poor": ("○", "poor"),
    "overfit": ("▲", "overfit"),
}


def star_spans(score: int | None, *, ascii_only: bool = False) -> list[Span]:
    """Five cells: those that are earned, and those that are not."""
    text = formats.stars(score, ascii_only=ascii_only)
    earned = 0 if score is None else min(5, max(0, score))
    return [(text[:earned], "stars"), (text[earned:], "faint")]


def badge_spans(convergence: str, *, shape: bool = True, ascii_only: bool = False) -> list[Span]:
    """The convergence in words; with its shape in front where there is room for it."""
    symbol, style = _SHAPES.get(convergence, ("·", "faint"))
    if not shape or ascii_only:
        return [(convergence, style)]
    return [(f"{symbol} {convergence}", style)]
