"""One model as a card: its name, rating, origin, figures and curve in a few lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from lora_tui import clock, formats
from lora_tui.cache.models import ModelSummary
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.drawn_lines import Line
from lora_tui.widgets.sparkline import area
from lora_tui.widgets.stars import Span, badge_spans, star_spans

LEAST_HEIGHT: Final = 4
_LEAST_CURVE: Final = 4
_MOST_CURVE: Final = 24
_WITH_DATE: Final = 26
"""From here on the longest convergence leaves room for a date."""


@dataclass(frozen=True)
class CardLook:
    """How a card is drawn."""

    width: int
    height: int
    ascii_only: bool = False


def card_lines(model: ModelSummary, look: CardLook, *, is_marked: bool = False) -> list[Line]:
    """`look.height` lines of exactly `look.width` cells; the higher, the more of the curve.

    Name; stars and convergence; dataset; base model, from five lines on; the curve and the
    figures, in one line below six, then in lines of their own.
    """
    width, height, ascii_only = look.width, look.height, look.ascii_only
    dataset = settled(model.dataset_name or "no dataset", ascii_only=ascii_only)
    base = settled((model.base_model or "").rsplit("/", 1)[-1], ascii_only=ascii_only)
    lines = [_name_line(model, look, is_marked), _rating_line(model, look)]
    if height < 5:
        between = " - " if ascii_only else " · "
        lines.append(_text(f"{dataset}{between}{base}" if base else dataset, look))
    else:
        lines.append(_text(dataset, look))
        lines.append(_text(base or "base model not known", look, "muted" if base else "faint"))
    room = height - len(lines)
    if room == 1:
        return [*lines, _curve_and_figures(model, look)]
    if room > 3:
        lines.append(_text("", look))
        room -= 1
    lines += _curve(model, look, room - 1)
    lines.append(_spread(_figures(model), width, ascii_only=ascii_only))
    return lines


def placeholder_lines(number: int, look: CardLook) -> list[Line]:
    """A card where a model is about to appear."""
    bar = "-" if look.ascii_only else "━"
    lines: list[Line] = []
    for line in range(look.height):
        share = (9, 6, 7, 0, 5)[line % 5] - (number + line) % 3
        length = look.width * max(0, share) // 10
        lines.append([(bar * length, "skeleton"), (" " * (look.width - length), "plain")])
    return lines


def _name_line(model: ModelSummary, look: CardLook, is_marked: bool) -> Line:
    signs: list[Span] = []
    if model.downloaded:
        signs.append((" v" if look.ascii_only else " ✓", "downloaded"))
    if is_marked:
        signs.append((" *" if look.ascii_only else " ●", "mark"))
    room = look.width - sum(len(text) for text, _ in signs)
    return [(fit(model.name, room, ascii_only=look.ascii_only), "name"), *signs]


def _rating_line(model: ModelSummary, look: CardLook) -> Line:
    spans = [*star_spans(model.stars, ascii_only=look.ascii_only), ("  ", "plain")]
    spans += badge_spans(model.convergence, ascii_only=look.ascii_only)
    if look.width < _WITH_DATE:
        return _with_end(spans, ("", "muted"), look)
    date = formats.short_date(model.created_at, clock.now())
    return _with_end(spans, (date, "muted"), look)


def _curve_and_figures(model: ModelSummary, look: CardLook) -> Line:
    """The curve at the left, and the figures that leave it a few cells."""
    figures = _figures(model)[:2]
    while len(figures) > 1 and _needed(figures) + 1 + _LEAST_CURVE > look.width:
        figures.pop()
    texts = [settled(text, ascii_only=look.ascii_only) for text, _ in figures]
    ends = "  ".join(texts)
    room = min(_MOST_CURVE, look.width - cell_len(ends) - 1)
    if room < _LEAST_CURVE:
        return _text(ends, look, "plain")
    (curve,) = _curve(model, CardLook(room, look.height, look.ascii_only), 1)
    gap = " " * (look.width - room - cell_len(ends))
    return [*curve, (gap, "plain"), (ends, "plain")]


def _curve(model: ModelSummary, look: CardLook, height: int) -> list[Line]:
    if not model.sparkline:
        lines: list[Line] = [_text("", look) for _ in range(height - 1)]
        return [*lines, _text("no curve yet" if look.width >= 12 else "", look, "faint")]
    rows = area(model.sparkline, look.width, height, ascii_only=look.ascii_only)
    return [[(row, "curve")] for row in rows]


def _figures(model: ModelSummary) -> list[Span]:
    """Those that are known, the most important first."""
    figures = [
        ("", formats.money(model.cost), "plain"),
        ("", formats.size(model.size), "muted"),
        ("loss ", formats.loss(model.final_loss), "plain"),
        ("", formats.hours(model.duration_hours), "muted"),
        ("ppl ", formats.perplexity(model.perplexity), "muted"),
    ]
    known = [(name + text, style) for name, text, style in figures if text != formats.NOTHING]
    return known or [(formats.NOTHING, "faint")]


def _spread(figures: Sequence[Span], width: int, *, ascii_only: bool) -> Line:
    """As many of the figures as fit, in columns of equal width."""
    count = len(figures)
    while count > 1 and _needed(figures[:count]) > width:
        count -= 1
    texts = [(settled(text, ascii_only=ascii_only), style) for text, style in figures[:count]]
    free = width - sum(cell_len(text) for text, _ in texts)
    line: list[Span] = []
    for number, (text, style) in enumerate(texts):
        if number:
            gap = free // (count - number)
            free -= gap
            line.append((" " * gap, "plain"))
        line.append((text, style))
    if count == 1:
        return [(fit(texts[0][0], width, ascii_only=ascii_only), texts[0][1])]
    return line


def _needed(figures: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in figures) + 2 * (len(figures) - 1)


def _with_end(spans: Sequence[Span], end: Span, look: CardLook) -> Line:
    """The spans, and at the right end another one if there is room; cut where there is not."""
    end = (settled(end[0], ascii_only=look.ascii_only), end[1])
    used = sum(cell_len(text) for text, _ in spans)
    room = look.width - used
    if room >= cell_len(end[0]) + min(2, len(end[0])):
        return [*spans, (" " * (room - cell_len(end[0])), "plain"), end]
    *first, (text, style) = spans
    left = look.width - sum(cell_len(text) for text, _ in first)
    return [*first, (fit(text, left, ascii_only=look.ascii_only), style)]


def _text(text: str, look: CardLook, style: str = "muted") -> Line:
    return [(fit(text, look.width, ascii_only=look.ascii_only), style)]
