"""A query of the list of models in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from lora_tui import formats
from lora_tui.cache.model_query import ModelQuery


def query_text(query: ModelQuery) -> str:
    """Describe search and filters: `“radio” · good, excellent · since 2026-11-16`."""
    parts = [
        f"“{query.search}”" if query.search else "",
        ", ".join(sorted(query.convergences)),
        "5 stars"
        if query.min_stars == 5
        else f"{formats.counted(query.min_stars, 'star')} or more"
        if query.min_stars
        else "",
        query.dataset,
        query.preset,
        query.base_model,
        period(query.created_from, query.created_before),
        {True: "downloaded", False: "not downloaded", None: ""}[query.downloaded],
        query.where,
    ]
    return " · ".join(part for part in parts if part)


def period(start: datetime | None, before: datetime | None) -> str:
    """Days from one moment until before another: `since 2026-11-16`; empty without either."""
    last = "" if before is None else formats.date(before - timedelta(microseconds=1))
    if start is None:
        return f"until {last}" if last else ""
    first = formats.date_time(start).removesuffix(" 00:00")
    if not last:
        return f"since {first}"
    return first if first == last else f"{first} to {last}"
