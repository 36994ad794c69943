"""`list`: a page of the models, from the cache alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from lora_tui import clock, formats
from lora_tui.cache import metadata, models
from lora_tui.cache.models import ModelQuery, ModelSummary, Sort
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.errors import UsageError
from lora_tui.json_values import json_text
from lora_tui.text import cell_width, fit

_COLUMNS = ("ID", "RATING", "CONVERGENCE", "NAME", "DATASET", "CREATED", "LOSS", "COST")
_NAME_WIDTH = 40
_SORT_SYNONYMS = {"rating": Sort.QUALITY, "stars": Sort.QUALITY}


def list_models(context: Context) -> None:
    """Print one page of the models."""
    arguments = context.arguments
    query = _query(context)
    limit, page = arguments.limit, arguments.page
    with context.cache() as db:
        if query.downloaded is not None:
            from lora_tui.library.disk_check import (
                check_presence,
            )  # late: seldom needed

            check_presence(db)
        total = models.count_models(db, query)
        as_of = metadata.models_as_of(db)
        rebuilt = metadata.is_rebuilt(db)
        if rebuilt:
            context.say(CACHE_REBUILT)
        offset = (page - 1) * limit
        if context.json:
            rows = models.select_rows(db, query, offset=offset, limit=limit)
            _check_number(db, len(rows), min(limit, total - offset))
            pagination = {
                "page": page,
                "limit": limit,
                "total": total,
                "totalPages": -(-total // limit),
            }
            context.print_data({"models": rows, "pagination": pagination})
            return
        if arguments.jsonl:
            for row in models.select_rows(db, query, offset=offset, limit=limit):
                context.out.write(json_text(row) + "\n")  # ASCII, like the envelope
            return
        found = models.select_models(db, query, offset=offset, limit=limit)
        _check_number(db, len({model.id for model in found}), min(limit, total - offset))
    if arguments.csv:
        _print_csv(context, found)
        return
    context.out.write(_table(found))
    if as_of is not None or not rebuilt:
        context.say(_remark(offset, len(found), total, as_of))


def _check_number(db: sqlite3.Connection, found: int, expected: int) -> None:
    """Check a page that is too short: rows were deleted, or lost. Raises DamagedCacheError."""
    if found < expected:
        from lora_tui.cache.integrity import check_integrity

        check_integrity(db)


def _query(context: Context) -> ModelQuery:
    arguments = context.arguments
    convergences = frozenset(
        name.strip().lower() for name in (arguments.quality or "").split(",") if name.strip()
    )
    if convergences:
        _check_known(convergences)
    since, before = _period(arguments.since, arguments.until)
    return ModelQuery(
        sort=_SORT_SYNONYMS.get(arguments.sort) or Sort(arguments.sort),
        reverse=arguments.reverse,
        search=arguments.search or "",
        convergences=convergences,
        min_stars=arguments.min_stars,
        dataset=arguments.dataset or "",
        preset=arguments.preset or "",
        base_model=arguments.base_model or "",
        created_from=since,
        created_before=before,
        downloaded=True if arguments.downloaded else None,
    )


def _check_known(convergences: frozenset[str]) -> None:
    from lora_tui.domain import CONVERGENCES

    unknown = convergences - set(CONVERGENCES)
    if unknown:
        raise UsageError(
            f"There is no convergence {sorted(unknown)[0]!r}",
            remedy=f"choose from {', '.join(CONVERGENCES)}",
        )


def _period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    if since is None and until is None:
        return None, None
    from lora_tui.commands.dates import period_of_options  # late: seldom needed

    return period_of_options(since, until)


def _table(found: Sequence[ModelSummary]) -> str:
    """One line for each model under the headings; nothing where there are no models."""
    if not found:
        return ""
    lines = [_COLUMNS, *map(_cells, found)]
    widths = [
        min(_NAME_WIDTH, max(cell_width(line[column]) for line in lines))
        for column in range(len(_COLUMNS))
    ]
    return "".join(
        "  ".join(fit(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def _cells(model: ModelSummary) -> tuple[str, ...]:
    return (
        model.id[:8],
        formats.stars(model.stars),
        model.convergence,
        model.name,
        model.dataset_name or formats.NO_VALUE,
        formats.date(model.created_at),
        formats.loss(model.final_loss),
        formats.money(model.cost),
    )


def _remark(offset: int, shown: int, total: int, last_sync: datetime | None) -> str:
    """Which models the page shows, and how old the cache is."""
    if last_sync is None:
        return "The cache was never synced: run `lora-tui sync`."
    if shown:
        which = f"{offset + 1}–{offset + shown} of {total} models"
    else:
        which = f"No models on this page, {total} in all" if total else "No matching models"
    return f"{which}, synced {formats.age(last_sync, clock.now())}"


def _print_csv(context: Context, found: Iterable[ModelSummary]) -> None:
    import csv

    from lora_tui.reports.exports import escape_formula

    writer = csv.writer(context.out, lineterminator="\n")
    names = (
        "id", "name", "version", "status", "stars", "convergence", "dataset", "preset",
        "base_model", "final_loss", "perplexity", "cost", "duration_hours", "size", "created_at",
    )  # fmt: skip
    writer.writerow(names)
    for m in found:
        values: tuple[Any, ...] = (
            m.id, m.name, m.version, m.status, m.stars, m.convergence, m.dataset_name,
            m.preset_id, m.base_model, m.final_loss, m.perplexity, m.cost, m.duration_hours,
            m.size, m.created_at.isoformat() if m.created_at else None,
        )  # fmt: skip
        writer.writerow([escape_formula(value) for value in values])
