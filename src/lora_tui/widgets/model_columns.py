"""Defines the columns of the list of models, and chooses those that fit into a width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lora_tui import clock, formats
from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.widgets.charts.sparkline import sparkline
from lora_tui.widgets.styled_lines import Span, badge_spans, star_spans

WIDE: Final = 100
"""From this width on columns are two cells apart and a convergence has its symbol."""


class RenderContext(NamedTuple):
    """The width of a cell and how it is drawn."""

    width: int
    wide: bool
    ascii_only: bool


Cell = Callable[[ModelSummary, RenderContext], Sequence[Span]]


class Column(NamedTuple):
    """A column of the list."""

    key: str
    """Its name in the settings."""
    title: str
    label: str
    """Its name in the dialog that chooses columns."""
    cell: Cell
    importance: int
    """Columns with a higher number are left out first."""
    least: int
    most: int = 0
    right: bool = False
    sort: Sort | None = None
    narrow_width: int = 0
    """The least width below `WIDE`, if it differs."""
    narrow_title: str = ""
    """The title where the column is too narrow for `title`."""


class ColumnLayout(NamedTuple):
    """A column with its position in the line, in cells."""

    column: Column
    left: int
    width: int

    @property
    def title(self) -> str:
        """The title that fits into this width."""
        column = self.column
        return (
            column.title if len(column.title) <= self.width else column.narrow_title or column.title
        )


def layout_columns(
    width: int, chosen: Collection[str] = (), *, sort: Sort | None = None
) -> list[ColumnLayout]:
    """Choose the columns that fit into `width` cells, from left to right.

    `chosen` has the keys of the wanted columns; empty means the most important ones. The name is
    always shown, and the column by which the list is sorted takes precedence.
    """
    wide = width >= WIDE
    gap = 2 if wide else 1
    name = _name_width(width, wide, is_free=not chosen)
    columns = _choose(width - name, wide, gap, chosen, sort)
    least = {column.key: _least(column, wide) for column in columns}
    least["name"] = name
    widths = _grow(least, width - sum(least.values()) - gap * (len(columns) - 1))
    placed = []
    left = 0
    for column in columns:
        placed.append(ColumnLayout(column, left, widths[column.key]))
        left += widths[column.key] + gap
    return placed


def valid_column_keys(keys: Iterable[object]) -> tuple[str, ...]:
    """The keys that name columns, in the order of the list and without duplicates."""
    wanted = {key for key in keys if isinstance(key, str)}
    return tuple(column.key for column in COLUMNS if column.key in wanted)


def _name_width(width: int, wide: bool, *, is_free: bool) -> int:
    """The width of the name: more than the least, so that long names can be told apart."""
    name = COLUMNS[0]
    least = _least(name, wide)
    return max(least, min(_COMFORTABLE_NAME, width * 40 // 100)) if is_free else least


def _choose(
    room: int, wide: bool, gap: int, chosen: Collection[str], sort: Sort | None
) -> list[Column]:
    """The name and the most important columns that fit beside it."""
    wanted = [column for column in COLUMNS[1:] if not chosen or column.key in chosen]
    fitting = {"name"}
    for column in sorted(
        wanted, key=lambda c: (c.sort is None or c.sort is not sort, c.importance)
    ):
        needed = gap + _least(column, wide)
        if needed > room:
            break
        room -= needed
        fitting.add(column.key)
    return [column for column in COLUMNS if column.key in fitting]


def _grow(least: Mapping[str, int], spare: int) -> dict[str, int]:
    """Distribute spare cells: each growing column gets its share, the name the rest."""
    widths = dict(least)
    for key, share in _SHARES.items():
        if key in widths and spare > 0:
            room = _MOST[key] - widths[key]
            grown = max(0, min(spare, room, max(1, spare * share // 100)))
            widths[key] += grown
            spare -= grown
    widths["name"] += max(0, min(spare, _MOST["name"] - widths["name"]))
    return widths


def _least(column: Column, wide: bool) -> int:
    return column.least if wide or not column.narrow_width else column.narrow_width


def _name(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(model.name, "name")]


def _stars(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return star_spans(model.stars, ascii_only=context.ascii_only)


def _badge(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return badge_spans(model.convergence, shape=context.wide, ascii_only=context.ascii_only)


def _dataset(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(model.dataset_name or formats.NO_VALUE, "muted")]


def _date(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.short_date(model.created_at, clock.now()), "muted")]


def _cost(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.money(model.cost), "plain")]


def _loss(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.loss(model.final_loss), "plain")]


def _perplexity(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.perplexity(model.perplexity), "plain")]


def _hours(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.hours(model.duration_hours).removesuffix(" h"), "plain")]


def _size(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.size(model.size), "muted")]


def _preset(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(model.preset_id or formats.NO_VALUE, "muted")]


def _base_model(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [((model.base_model or formats.NO_VALUE).rsplit("/", 1)[-1], "muted")]


def _downloaded(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return [(("v" if context.ascii_only else "✓") if model.downloaded else "", "downloaded")]


def _curve(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    if not model.sparkline:
        return [(formats.NO_VALUE, "faint")]
    return [(sparkline(model.sparkline, context.width, ascii_only=context.ascii_only), "curve")]


COLUMNS: Final = (
    Column("name", "Name", "Name", _name, 0, 26, most=60, sort=Sort.NAME, narrow_width=18),
    Column("stars", "Rating", "Rating", _stars, 1, 6, sort=Sort.QUALITY, narrow_width=7),
    Column("verdict", "Convergence", "Convergence", _badge, 2, 11, narrow_width=9,
           narrow_title="Converg."),
    Column("curve", "Curve", "Curve of the training loss", _curve, 5, 10, most=24, narrow_width=8),
    Column("loss", "Loss", "Final training loss", _loss, 7, 6, right=True, sort=Sort.LOSS),
    Column("perplexity", "Perpl.", "Perplexity", _perplexity, 12, 7, right=True,
           sort=Sort.PERPLEXITY),
    Column("dataset", "Dataset", "Dataset", _dataset, 8, 14, most=28, narrow_width=10),
    Column("preset", "Preset", "Preset", _preset, 11, 12),
    Column("base_model", "Base model", "Base model", _base_model, 13, 12, most=26),
    Column("date", "Date", "Date", _date, 3, 6, sort=Sort.CREATED),
    Column("hours", "Hours", "Training time in hours", _hours, 10, 6, right=True,
           sort=Sort.DURATION),
    Column("cost", "Cost", "Cost", _cost, 4, 7, right=True, sort=Sort.COST),
    Column("size", "Size", "Size of the files", _size, 9, 8, right=True, sort=Sort.SIZE),
    Column("downloaded", "", "Downloaded", _downloaded, 6, 1),
)  # fmt: skip
"""All columns in their order; the name is always shown."""
_COMFORTABLE_NAME: Final = 44
# percent of the cells that the columns before it left
_SHARES: Final = {"name": 75, "dataset": 50, "base_model": 60, "curve": 100}
_MOST: Final = {column.key: column.most for column in COLUMNS}
