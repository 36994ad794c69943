"""The columns of the list of models: what each shows, and which of them a width has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.widgets.sparkline import sparkline
from lora_tui.widgets.stars import Span, badge_spans, star_spans

WIDE: Final = 100
"""From this width on, columns stand two cells apart and verdicts have their shape."""


@dataclass(frozen=True)
class Look:
    """How a cell is drawn."""

    width: int
    wide: bool
    ascii_only: bool


Cell = Callable[[ModelSummary, Look], Sequence[Span]]


@dataclass(frozen=True)
class Column:
    """One column; `most` is what it grows to where there is room."""

    title: str
    cell: Cell
    least: int
    most: int = 0
    right: bool = False
    sort: Sort | None = None
    rank: int = 0
    """Above 0: shown on wide terminals only; those of a higher rank are left out first."""
    expendable: int = 0
    """Above 0: may be left out where even the ordinary columns don't fit, the highest first."""
    narrow_width: int = 0
    """The width below `WIDE`, where it differs."""


@dataclass(frozen=True)
class Placed:
    """A column with its place in the line."""

    column: Column
    left: int
    width: int


def arrange(width: int) -> list[Placed]:
    """The columns that fit into `width` cells, from left to right."""
    wide = width >= WIDE
    gap = 2 if wide else 1
    columns = _choose(width, wide, gap)
    widths = _grow(columns, width - _needed(columns, wide, gap), wide)
    placed = []
    left = 0
    for column in columns:
        placed.append(Placed(column, left, widths[column.title]))
        left += widths[column.title] + gap
    return placed


def _choose(width: int, wide: bool, gap: int) -> list[Column]:
    chosen = [column for column in COLUMNS if column.rank == 0]
    for rank in range(1, _RANKS + 1):
        more = [column for column in COLUMNS if column.rank <= rank]
        if wide and _needed(more, wide, gap) <= width:
            chosen = more
    for number in range(_EXPENDABLE, 0, -1):
        if _needed(chosen, wide, gap) > width:
            chosen = [column for column in chosen if column.expendable != number]
    return chosen


def _grow(columns: Sequence[Column], spare: int, wide: bool) -> dict[str, int]:
    """The widths, by title: each growing column gets its share, the name what is left."""
    widths = {column.title: _least(column, wide) for column in columns}
    for title, share in _SHARES.items():
        if title in widths and spare > 0:
            room = _MOST[title] - widths[title]
            grown = min(spare, room, max(1, spare * share // 100))
            widths[title] += grown
            spare -= grown
    widths["Name"] += max(0, min(spare, _MOST["Name"] - widths["Name"]))
    return widths


def _needed(columns: Sequence[Column], wide: bool, gap: int) -> int:
    return sum(_least(column, wide) for column in columns) + gap * (len(columns) - 1)


def _least(column: Column, wide: bool) -> int:
    return column.least if wide or not column.narrow_width else column.narrow_width


def _name(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(model.name, "name")]


def _stars(model: ModelSummary, look: Look) -> Sequence[Span]:
    return star_spans(model.stars, ascii_only=look.ascii_only)


def _badge(model: ModelSummary, look: Look) -> Sequence[Span]:
    return badge_spans(model.convergence, shape=look.wide, ascii_only=look.ascii_only)


def _dataset(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(model.dataset_name or formats.NOTHING, "muted")]


def _date(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.short_date(model.created_at, clock.now()), "muted")]


def _cost(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.money(model.cost), "plain")]


def _loss(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.loss(model.final_loss), "plain")]


def _perplexity(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.perplexity(model.perplexity), "plain")]


def _hours(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.hours(model.duration_hours).removesuffix(" h"), "plain")]


def _size(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(formats.size(model.size), "muted")]


def _preset(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [(model.preset_id or formats.NOTHING, "muted")]


def _base_model(model: ModelSummary, _look: Look) -> Sequence[Span]:
    return [((model.base_model or formats.NOTHING).rsplit("/", 1)[-1], "muted")]


def _downloaded(model: ModelSummary, look: Look) -> Sequence[Span]:
    return [(("v" if look.ascii_only else "✓") if model.downloaded else "", "downloaded")]


def _curve(model: ModelSummary, look: Look) -> Sequence[Span]:
    if not model.sparkline:
        return [(formats.NOTHING, "faint")]
    return [(sparkline(model.sparkline, look.width, ascii_only=look.ascii_only), "curve")]


COLUMNS: Final = (
    Column("Name", _name, 26, most=56, sort=Sort.NAME, narrow_width=20),
    Column("Stars", _stars, 5, sort=Sort.QUALITY, narrow_width=6),
    Column("Verdict", _badge, 11, narrow_width=9),
    Column("Curve", _curve, 10, most=24, narrow_width=8, expendable=2),
    Column("Loss", _loss, 6, right=True, sort=Sort.LOSS, rank=1),
    Column("Perpl.", _perplexity, 6, right=True, sort=Sort.PERPLEXITY, rank=5),
    Column("Dataset", _dataset, 14, most=28, narrow_width=10, expendable=3),
    Column("Preset", _preset, 12, rank=4),
    Column("Base model", _base_model, 12, most=26, rank=6),
    Column("Date", _date, 6, sort=Sort.CREATED, narrow_width=6),
    Column("Hours", _hours, 5, right=True, sort=Sort.DURATION, rank=3),
    Column("Cost", _cost, 7, right=True, sort=Sort.COST, expendable=1),
    Column("Size", _size, 8, right=True, sort=Sort.SIZE, rank=2),
    Column("", _downloaded, 1, rank=1),
)
_RANKS: Final = max(column.rank for column in COLUMNS)
_EXPENDABLE: Final = max(column.expendable for column in COLUMNS)
# Percent of the cells that the columns before it left over.
_SHARES: Final = {"Name": 45, "Dataset": 50, "Base model": 60, "Curve": 100}
_MOST: Final = {column.title: column.most for column in COLUMNS}
