"""A search, filters and an order in words, as the title of the list says them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from lora_tui import formats
from lora_tui.cache.model_order import Sort
from lora_tui.cache.model_query import ModelQuery

SORT_NAMES: Final[dict[Sort, str]] = {
    Sort.CREATED: "Date",
    Sort.QUALITY: "Stars",
    Sort.NAME: "Name",
    Sort.COST: "Cost",
    Sort.LOSS: "Final loss",
    Sort.DURATION: "Training time",
    Sort.SIZE: "Size",
    Sort.PERPLEXITY: "Perplexity",
}
# natural direction, reversed
_DIRECTIONS: Final[dict[Sort, tuple[str, str]]] = {
    Sort.CREATED: ("newest first", "oldest first"),
    Sort.QUALITY: ("best first", "worst first"),
    Sort.NAME: ("A to Z", "Z to A"),
    Sort.COST: ("dearest first", "cheapest first"),
    Sort.LOSS: ("lowest first", "highest first"),
    Sort.DURATION: ("longest first", "shortest first"),
    Sort.SIZE: ("largest first", "smallest first"),
    Sort.PERPLEXITY: ("lowest first", "highest first"),
}


def described(query: ModelQuery) -> str:
    """`“radio” · good, excellent · since 2026-11-16`; empty where nothing is left out."""
    parts = [
        f"“{query.search}”" if query.search else "",
        ", ".join(sorted(query.convergences)),
        "5 stars"
        if query.min_stars == 5
        else f"{query.min_stars} stars or more"
        if query.min_stars
        else "",
        query.dataset,
        query.preset,
        query.base_model,
        _dates(query.created_from, query.created_before),
        {True: "downloaded", False: "not downloaded", None: ""}[query.downloaded],
    ]
    return " · ".join(part for part in parts if part)


def direction_name(sort: Sort, *, reverse: bool) -> str:
    """The direction in words: `newest first`."""
    return _DIRECTIONS[sort][int(reverse)]


def _dates(start: datetime | None, before: datetime | None) -> str:
    last = "" if before is None else formats.date(before - timedelta(microseconds=1))
    if start is None:
        return f"until {last}" if last else ""
    first = formats.date_time(start).removesuffix(" 00:00")
    if not last:
        return f"since {first}"
    return first if first == last else f"{first} to {last}"
