"""The orders of the list of models, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lora_tui.cache.model_query import ModelQuery, Sort, is_indexed

if TYPE_CHECKING:
    from lora_tui.cache.model_columns import ModelColumn

SORT_NAMES: Final[dict[Sort, str]] = {
    Sort.CREATED: "Date",
    Sort.QUALITY: "Rating",
    Sort.NAME: "Name",
    Sort.COST: "Cost",
    Sort.LOSS: "Final loss",
    Sort.DURATION: "Training time",
    Sort.SIZE: "Size",
    Sort.PERPLEXITY: "Perplexity",
}
DIRECTIONS: Final[dict[Sort, tuple[str, str]]] = {
    # natural direction, reversed
    Sort.CREATED: ("newest first", "oldest first"),
    Sort.QUALITY: ("best first", "worst first"),
    Sort.NAME: ("A to Z", "Z to A"),
    Sort.COST: ("most expensive first", "cheapest first"),
    Sort.LOSS: ("lowest first", "highest first"),
    Sort.DURATION: ("longest first", "shortest first"),
    Sort.SIZE: ("largest first", "smallest first"),
    Sort.PERPLEXITY: ("lowest first", "highest first"),
}


def order_text(query: ModelQuery) -> str:
    """The order of a query: `Rating, best first`."""
    if query.sort in DIRECTIONS:
        words, directions = SORT_NAMES[Sort(query.sort)], DIRECTIONS[Sort(query.sort)]
    else:
        words, directions = other_orders()[query.sort]
    return f"{words}, {directions[int(query.reverse)]}"


def other_orders() -> dict[str, tuple[str, tuple[str, str]]]:
    """Those without an index: name of a column → its words, natural direction, the reverse."""
    from lora_tui.cache.model_columns import MODEL_COLUMNS, sort_of  # late: first frame

    return {
        column.name: (_words(column), _directions(column))
        for column in MODEL_COLUMNS
        if not is_indexed(sort_of(column.name))
    }


def _words(column: ModelColumn) -> str:
    text = column.name.replace("_", " ")
    return "GPU" if text == "gpu" else text[:1].upper() + text[1:]


def _directions(column: ModelColumn) -> tuple[str, str]:
    from lora_tui.cache.model_columns import Kind

    if column.kind in (Kind.TEXT, Kind.TAGS):
        return ("A to Z", "Z to A")
    if column.kind is Kind.YES_NO:
        return ("yes first", "no first")
    if column.kind is Kind.STARS:
        return ("best first", "worst first")
    highest, lowest = "highest first", "lowest first"
    return (highest, lowest) if column.descends else (lowest, highest)
