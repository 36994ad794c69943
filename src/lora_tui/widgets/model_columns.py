"""The usual columns of the list of models; value_columns.py has all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.widgets.charts.sparkline import sparkline
from lora_tui.widgets.row_columns import Column, ColumnSet, RenderContext
from lora_tui.widgets.styled_lines import Span, badge_spans, favorite_sign, star_spans


def _name(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    sign = f"{favorite_sign(ascii_only=context.ascii_only)} " if model.favorite else ""
    if model.status == "archived":
        return [("(archived) ", "faint"), (sign + model.name, "muted")]
    return [(sign + model.name, "name")]


def _stars(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return star_spans(model.stars, ascii_only=context.ascii_only)


def _badge(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return badge_spans(model.convergence, shape=context.wide, ascii_only=context.ascii_only)


def _dataset(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(model.dataset_name or formats.NO_VALUE, "muted")]


def _date(model: ModelSummary, _context: RenderContext) -> Sequence[Span]:
    return [(formats.short_date(model.created_at, clock.now()), "muted")]


def _cost(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return [(formats.money_in(model.cost, context.width), "plain")]


def _loss(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
    return [(formats.loss_in(model.final_loss, context.width), "plain")]


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
    Column("name", "Name", "Name", _name, 0, 26, most=60, sort=Sort.NAME, narrow_width=18,
           keeps_end=True),
    Column("stars", "Rating", "Rating", _stars, 1, 6, sort=Sort.QUALITY, narrow_width=7),
    Column("convergence", "Convergence", "Convergence", _badge, 2, 11, sort="convergence",
           narrow_width=9, narrow_title="Converg."),
    Column("curve", "Curve", "Curve of the training loss", _curve, 5, 10, most=24, narrow_width=8),
    Column("final_loss", "Loss", "Final training loss", _loss, 7, 6, right=True, sort=Sort.LOSS),
    Column("perplexity", "Perpl.", "Perplexity", _perplexity, 12, 7, right=True,
           sort=Sort.PERPLEXITY),
    Column("dataset", "Dataset", "Dataset", _dataset, 8, 14, most=28, sort="dataset",
           narrow_width=10, keeps_end=True),
    Column("preset", "Preset", "Preset", _preset, 11, 12, sort="preset"),
    Column("base_model", "Base model", "Base model", _base_model, 13, 12, most=26,
           sort="base_model"),
    Column("created_at", "Date", "Date", _date, 3, 6, sort=Sort.CREATED),
    Column("duration_hours", "Hours", "Training time in hours", _hours, 10, 6, right=True,
           sort=Sort.DURATION),
    Column("cost", "Cost", "Cost", _cost, 4, 7, right=True, sort=Sort.COST),
    Column("size", "Size", "Size of the files", _size, 9, 8, right=True, sort=Sort.SIZE),
    Column("downloaded", "", "Downloaded", _downloaded, 6, 1, sort="downloaded"),
)  # fmt: skip
"""In their order; the name is always shown."""


def _more() -> Sequence[Column[ModelSummary]]:
    from lora_tui.widgets.value_columns import value_columns  # late: seldom shown

    return value_columns(frozenset(column.key for column in COLUMNS))


MODEL_COLUMNS: Final = ColumnSet(
    COLUMNS,
    comfortable=44,
    shares={"name": 75, "dataset": 50, "base_model": 60, "curve": 100},
    more=_more,
    synonyms={
        "verdict": "convergence",
        "loss": "final_loss",
        "date": "created_at",
        "hours": "duration_hours",
    },
)
