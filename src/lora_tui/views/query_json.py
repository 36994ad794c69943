"""A query of the list of models as JSON, for files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.clock import parse_timestamp
from lora_tui.errors import UsageError
from lora_tui.json_values import mapping
from lora_tui.text import terminal_safe


def query_data(query: ModelQuery) -> dict[str, Any]:
    """The query as JSON data, without what is as in `ModelQuery()`."""
    plain = ModelQuery()
    return {
        field: _plain(value)
        for field, value, usual in zip(query._fields, query, plain, strict=True)
        if value != usual
    }


def query_of(data: object) -> ModelQuery:
    """The query of `query_data`; what is no value of a field is as in `ModelQuery()`."""
    found = mapping(data)
    sort, least, downloaded = found.get("sort"), found.get("min_stars"), found.get("downloaded")
    return ModelQuery(
        sort=sort_in(sort) or Sort.CREATED,
        reverse=found.get("reverse") is True,
        search=text_in(found, "search"),
        convergences=frozenset(texts_of(found.get("convergences"))),
        min_stars=least if type(least) is int and 0 <= least <= 5 else 0,
        dataset=text_in(found, "dataset"),
        preset=text_in(found, "preset"),
        base_model=text_in(found, "base_model"),
        created_from=parse_timestamp(found.get("created_from")),
        created_before=parse_timestamp(found.get("created_before")),
        downloaded=downloaded if isinstance(downloaded, bool) else None,
        where=_condition_in(found),
    )


def sort_in(value: object) -> str | None:
    """The order of this name; None where there is none."""
    if not isinstance(value, str) or value in list(Sort):
        return Sort(value) if isinstance(value, str) else None
    from lora_tui.cache.model_columns import sort_of  # late: seldom needed

    try:
        return sort_of(value)
    except UsageError:
        return None


def text_in(data: Mapping[str, Any], key: str) -> str:
    """The text under a key; empty where there is none."""
    value = data.get(key)
    return terminal_safe(value) if isinstance(value, str) else ""


def _condition_in(data: Mapping[str, Any]) -> str:
    """The condition with its blanks, which may count in a quoted text."""
    value = data.get("where")
    if not isinstance(value, str) or not value:
        return ""
    from lora_tui.cache.condition_tokens import LONGEST  # late: seldom needed

    safe = terminal_safe(value, limit=LONGEST)
    blanks_only = value.split() == safe.split()
    return "".join(" " if it.isspace() else it for it in value) if blanks_only else safe


def texts_of(value: object) -> tuple[str, ...]:
    """The texts of a JSON list."""
    if not isinstance(value, list):
        return ()
    return tuple(terminal_safe(text, limit=200) for text in value if isinstance(text, str))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value) if isinstance(value, str) else value
