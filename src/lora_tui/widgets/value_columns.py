"""Columns of the list of models that are drawn by the kind of their values.

They are those of the registry (cache/model_columns.py) that have no drawing of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from lora_tui.cache.column_text import is_unknown, text_of
from lora_tui.cache.model_columns import MODEL_COLUMNS, Kind, ModelColumn
from lora_tui.cache.models import ModelSummary
from lora_tui.widgets.row_columns import Column, RenderContext
from lora_tui.widgets.styled_lines import Span, star_spans

_WIDTHS: Final = {
    Kind.TEXT: (10, 28),
    Kind.TAGS: (10, 28),
    Kind.MOMENT: (10, 10),
    Kind.STARS: (6, 6),
    Kind.YES_NO: (4, 4),
    Kind.SIZE: (8, 8),
}
"""Cells, at least and at most; of a number ten."""
_NUMBER: Final = 8
_LONG: Final = {"note": 60, "description": 60, "id": 36}
"""Cells at most."""


def value_columns(drawn: Collection[str]) -> list[Column[ModelSummary]]:
    """The columns of the registry but for those that are drawn otherwise."""
    return [
        _column(column, place)
        for place, column in enumerate(MODEL_COLUMNS)
        if column.name not in drawn
    ]


def _column(column: ModelColumn, place: int) -> Column[ModelSummary]:
    least, most = _WIDTHS.get(column.kind, (_NUMBER, _NUMBER))
    least = max(least, len(column.title) + 1)  # with the arrow of the order
    is_text = column.kind in (Kind.TEXT, Kind.TAGS)
    return Column(
        column.name,
        column.title,
        f"{column.title}: {column.meaning}",
        _cell_of(column),
        place - len(MODEL_COLUMNS),  # who names one of them wants it more than the usual ones
        least,
        most=max(least, _LONG.get(column.name, most)),
        right=column.kind.is_number and column.kind not in (Kind.STARS, Kind.MOMENT),
        sort=column.name,
        share=60 if is_text else 0,
    )


def _cell_of(column: ModelColumn) -> Callable[[ModelSummary, RenderContext], Sequence[Span]]:
    def cell(model: ModelSummary, context: RenderContext) -> Sequence[Span]:
        value = model.values.get(column.name)
        if value is None or is_unknown(column, value):
            return [(text_of(column, value, ascii_only=context.ascii_only), "faint")]
        if column.kind is Kind.STARS:
            return star_spans(int(value), ascii_only=context.ascii_only)
        text = text_of(column, value, ascii_only=context.ascii_only)
        return [(text, "plain" if column.kind.is_number else "muted")]

    return cell
