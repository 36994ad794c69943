"""`list`: a page of the models, from the cache alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui import clock, formats
from lora_tui.cache import metadata, models
from lora_tui.cache.model_query import ModelQuery, Sort, is_indexed
from lora_tui.cache.models import ModelSummary
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.table import Column, table_lines
from lora_tui.errors import UsageError
from lora_tui.json_values import json_text

if TYPE_CHECKING:
    from lora_tui.cache.model_columns import ModelColumn
    from lora_tui.views.saved import SavedView

_WIDEST: Final = 40
ARCHIVED: Final = "archived"
_TABLE: Final = (
    Column("ID", 100),
    Column("RATING", 90),
    Column("CONVERGENCE", 50),
    Column("NAME", 95, least=14, most=_WIDEST),
    Column("DATASET", 60, least=12, most=_WIDEST),
    Column("CREATED", 84),
    Column("LOSS", 85),
    Column("COST", 40),
)
_ORDERS: Final = {
    **{sort.value: sort for sort in Sort},
    **{"rating": Sort.QUALITY, "stars": Sort.QUALITY},
}
"""The usual ones, which need no table of all columns."""
_SHOWN: Final = (Sort.CREATED, Sort.QUALITY, Sort.NAME, Sort.COST, Sort.LOSS)
"""Those by a column of the usual table; that of a pipe has no other for the usual orders."""


def list_models(context: Context) -> None:
    """Print one page of the models."""
    arguments = context.arguments
    if (arguments.columns or "").strip().lower() == "help":
        from lora_tui.commands.list_columns import print_help  # late: seldom needed

        print_help(context)
        return
    if arguments.deleted:
        from lora_tui.commands.keeping import list_deleted  # late: seldom needed

        list_deleted(context)
        return
    view = _view(context)
    query = asked_query(arguments, ModelQuery() if view is None else view.query)
    columns = _columns(context, query)
    limit, page = arguments.limit, arguments.page
    offset = (page - 1) * limit
    with context.cache() as db:
        if columns or query.where or query.downloaded is not None or not is_indexed(query.sort):
            from lora_tui.commands.due_values import check_used  # late: seldom needed

            check_used(context, db, query, columns)
        total = models.count_models(db, query)
        as_of = metadata.models_as_of(db)
        rebuilt = metadata.is_rebuilt(db)
        if rebuilt:
            context.say(CACHE_REBUILT)
        window = _Window(query, offset, limit, min(limit, total - offset))
        if context.json:
            pagination = {
                "page": page,
                "limit": limit,
                "total": total,
                "totalPages": -(-total // limit),
            }
            rows = _rows(db, window, columns)
            context.print_data({"models": rows, "pagination": pagination})
            return
        if arguments.jsonl:
            for row in _rows(db, window, columns):
                context.out.write(json_text(row) + "\n")  # ASCII, like the envelope
            return
        text, shown, hidden = _text(context, db, window, columns)
    context.out.write(text)
    if hidden:
        context.say(hidden)
    if not arguments.csv and (as_of is not None or not rebuilt):
        context.say(_remark(offset, shown, total, as_of))


class _Window(NamedTuple):
    """Which models are printed."""

    query: ModelQuery
    offset: int
    limit: int
    expected: int
    """How many of them there are."""


def _rows(
    db: sqlite3.Connection, window: _Window, columns: Sequence[ModelColumn]
) -> list[dict[str, Any]]:
    """The backend's rows; with `columns`, the values of the named columns, where there are any."""
    query, offset, limit, expected = window
    rows = models.select_rows(db, query, offset=offset, limit=limit)
    _check_number(db, len(rows), expected)
    if columns:
        from lora_tui.commands.list_columns import add_values

        add_values(db, rows, columns, query, offset=offset, limit=limit)
    return rows


def _text(
    context: Context, db: sqlite3.Connection, window: _Window, columns: Sequence[ModelColumn]
) -> tuple[str, int, str]:
    """The table or the CSV, the number of models in it, and what the table lacks."""
    query, offset, limit, expected = window
    if columns:
        from lora_tui.cache.model_columns import values_of
        from lora_tui.commands import list_columns

        values = values_of(db, columns, query, offset=offset, limit=limit)
        _check_number(db, len(values), expected)
        lines = [value[1:] for value in values]
        if context.arguments.csv:
            return list_columns.csv_text(columns, lines), len(values), ""
        adds = (context.arguments.columns or "+").strip().startswith("+")
        text, hidden = list_columns.table_text(context, columns, lines, adds=adds)
        return text, len(values), hidden
    found = models.select_models(db, query, offset=offset, limit=limit)
    _check_number(db, len({model.id for model in found}), expected)
    return _table(context, found), len(found), ""


def _columns(context: Context, query: ModelQuery) -> Sequence[ModelColumn]:
    """The columns that `--columns` names; none for the usual ones. Raises UsageError.

    Without it a table also shows what it is sorted by, and what its condition is about.
    """
    arguments = context.arguments
    usual = _SHOWN if context.out.isatty() else _ORDERS.values()
    has_rows = context.json or arguments.jsonl  # the backend's, which have the usual ones
    shows_usual = not arguments.csv and query.sort in usual and not query.where
    if arguments.columns is None and (has_rows or shows_usual):
        return ()
    from lora_tui.commands.list_columns import USUAL, USUAL_CSV, chosen_columns, used_columns

    if has_rows:
        return chosen_columns(arguments.columns, ())
    if arguments.csv:
        added = "+id" if arguments.columns is None else arguments.columns  # a usual one adds none
        return chosen_columns(added, USUAL_CSV)
    if arguments.columns is None:
        return used_columns(query)
    return chosen_columns(arguments.columns, USUAL)


def _check_number(db: sqlite3.Connection, found: int, expected: int) -> None:
    """Check a page that is too short: rows were deleted, or lost. Raises DamagedCacheError."""
    if found < expected:
        from lora_tui.cache.integrity import check_integrity

        check_integrity(db)


def _view(context: Context) -> SavedView | None:
    """The view of `--view`; its columns count as given, unless `--columns` names others."""
    arguments = context.arguments
    if not arguments.view:
        return None
    from lora_tui.commands.view import view_of_option  # late: seldom needed

    view = view_of_option(context)
    if arguments.columns is None and view.values:
        arguments.columns = ",".join(dict.fromkeys(["id", *view.values]))
    return view


def asked_query(arguments: Any, query: ModelQuery) -> ModelQuery:
    """The query with the changes that the options make. Raises UsageError."""
    changes: dict[str, Any] = {}
    if arguments.sort:
        changes["sort"] = _ORDERS.get(arguments.sort) or _order(arguments.sort)
        changes["reverse"] = False
    if arguments.reverse:
        changes["reverse"] = True
    if arguments.quality:
        names = (name.strip().lower() for name in arguments.quality.split(","))
        changes["convergences"] = frozenset(filter(None, names))
        _check_known(changes["convergences"])
    if arguments.since is not None or arguments.until is not None:
        from lora_tui.commands.dates import period_of_options  # late: seldom needed

        since, before = period_of_options(arguments.since, arguments.until)
        changes |= {"created_from": since, "created_before": before}
    if arguments.where is not None:
        changes["where"] = _where(arguments.where)
    if arguments.archived is not None:
        asked = changes.get("where", query.where)
        status = f"status {'=' if arguments.archived == 'only' else '!='} {ARCHIVED}"
        changes["where"] = f"({asked}) and {status}" if asked else status
    for option in ("search", "min_stars", "dataset", "preset", "base_model", "downloaded"):
        value = getattr(arguments, option)
        if value is not None:
            changes[option] = value
    return query._replace(**changes)


def _order(name: str) -> str:
    """The order by any column. Raises UsageError."""
    from lora_tui.cache.model_columns import sort_of  # late: seldom needed

    return sort_of(name)


def _where(condition: str) -> str:
    """The condition, which is one. Raises ConditionError before the cache is opened."""
    from lora_tui.cache.conditions import parse  # late: seldom needed

    parse(condition)
    return condition


def _check_known(convergences: frozenset[str]) -> None:
    from lora_tui.domain import CONVERGENCES

    unknown = convergences - set(CONVERGENCES)
    if unknown:
        raise UsageError(
            f"There is no convergence {sorted(unknown)[0]!r}",
            remedy=f"choose from {', '.join(CONVERGENCES)}",
        )


def _table(context: Context, found: Sequence[ModelSummary]) -> str:
    """One line for each model under the headings; nothing where there are no models."""
    width = None
    if context.arguments.wide or context.out.isatty():
        from lora_tui.commands.style import table_width_of  # late: pipes have no width

        width = table_width_of(context)
    lines = table_lines(_TABLE, [_cells(model) for model in found], width)
    return "".join(f"{line}\n" for line in lines)


def _cells(model: ModelSummary) -> tuple[str, ...]:
    return (
        model.id[:8],
        formats.stars(model.stars),
        model.convergence,
        model.name if model.status != ARCHIVED else f"({ARCHIVED}) {model.name}",
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
        which = f"{offset + 1}–{offset + shown} of {formats.counted(total, 'model')}"
    else:
        which = f"No models on this page, {total} in all" if total else "No matching models"
    return f"{which}, synced {formats.age(last_sync, clock.now())}"
