"""The orders of the list of models that have no index, in words."""

from __future__ import annotations

from lora_tui.cache.model_columns import MODEL_COLUMNS, Kind, ModelColumn, sort_of
from lora_tui.cache.model_query import is_indexed


def other_orders() -> dict[str, tuple[str, tuple[str, str]]]:
    """Name of a column → what it is in words, its natural direction, and the reverse of that."""
    return {
        column.name: (_words(column), _directions(column))
        for column in MODEL_COLUMNS
        if not is_indexed(sort_of(column.name))
    }


def _words(column: ModelColumn) -> str:
    text = column.name.replace("_", " ")
    return "GPU" if text == "gpu" else text[:1].upper() + text[1:]


def _directions(column: ModelColumn) -> tuple[str, str]:
    if column.kind in (Kind.TEXT, Kind.TAGS):
        return ("A to Z", "Z to A")
    if column.kind is Kind.YES_NO:
        return ("yes first", "no first")
    if column.kind is Kind.STARS:
        return ("best first", "worst first")
    highest, lowest = "highest first", "lowest first"
    return (highest, lowest) if column.descends else (lowest, highest)
