"""`view`: save, list and delete views of the list of models."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lora_tui.cache.model_query import ModelQuery
from lora_tui.commands.context import Context
from lora_tui.commands.list import asked_query
from lora_tui.commands.style import table_width_of
from lora_tui.commands.table import Column, table_lines
from lora_tui.views.orders import order_text
from lora_tui.views.saved import (
    WITH_A_KEY,
    SavedView,
    Views,
    beside,
    checked_name,
    delete_view,
    find_view,
    read_views,
    save_view,
    view_data,
    without_vanished,
)

_COLUMNS: Final = (
    Column("KEY", 10),
    Column("NAME", 100, least=12),
    Column("ORDER", 50),
    Column("SHOWS", 90, least=12),
)


def save(context: Context) -> None:
    """Save what the options name; without any, what the application has shown last."""
    name = checked_name(context.arguments.view)
    view = _asked(context, name)
    if view == SavedView(name):
        view = _last_shown(context, name)
    replaced = save_view(_path(context), view)
    if context.json:
        context.print_data(view_data(view))
    else:
        words = "Replaced" if replaced else "Saved"
        context.say(f"{words} the view {name!r}: {_filters(view)} ({order_text(view.query)})")


def list_views(context: Context) -> None:
    """Print the views as a table or JSON."""
    found = _read(context)
    if context.json:
        context.print_data({"views": [view_data(view) for view in found]})
        return
    rows = [
        (
            str(place) if place <= WITH_A_KEY else "",
            view.name,
            order_text(view.query),
            _filters(view),
        )
        for place, view in enumerate(found, start=1)
    ]
    context.out.write(
        "".join(f"{line}\n" for line in table_lines(_COLUMNS, rows, table_width_of(context)))
    )
    if not found:
        context.say("No views are saved: `lora-tui view save NAME` saves one.")


def delete(context: Context) -> None:
    """Delete a view."""
    delete_view(_path(context), context.arguments.view)
    if context.json:
        context.print_data({"deleted": context.arguments.view})
    else:
        context.say(f"Deleted the view {context.arguments.view!r}")


def view_of_option(context: Context) -> SavedView:
    """The view of `--view`, without what has vanished, which is said.

    Raises NotFoundError, DiskError.
    """
    _read(context)  # says that the file was damaged
    view, notes = without_vanished(find_view(_path(context), context.arguments.view))
    for note in notes:
        context.say(f"View {view.name!r}: {note}.")
    return view


def _read(context: Context) -> tuple[SavedView, ...]:
    found: Views = read_views(_path(context))
    if found.damage:
        context.say(f"{found.damage}.")
    return found.views


def _path(context: Context) -> Path:
    return beside(context.profile.view_state_path)


def _asked(context: Context, name: str) -> SavedView:
    """The view that the options describe. Raises UsageError."""
    arguments = context.arguments
    columns: tuple[str, ...] = ()
    if arguments.columns is not None:
        from lora_tui.commands.list_columns import USUAL, chosen_columns

        columns = tuple(column.name for column in chosen_columns(arguments.columns, USUAL))
    return SavedView(name, asked_query(arguments, ModelQuery()), columns)


def _last_shown(context: Context, name: str) -> SavedView:
    from lora_tui.tui.view_state import ViewMemory

    return ViewMemory(context.profile.view_state_path).state.saved_as(name)


def _filters(view: SavedView) -> str:
    from lora_tui.views.words import query_text

    return query_text(view.query) or "all models"
