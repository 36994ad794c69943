"""Views of the list of models under a name, and their file.

A file holds the views of one profile. It is changed under the lock of its directory and replaced
in one step, so two applications lose nothing; what a later version has written into it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.cache.model_query import ModelQuery
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.files import (
    make_private_directory,
    read_regular_file,
    set_aside,
    translate_disk_errors,
    write_private_file,
)
from lora_tui.json_values import json_text, mapping, parse_json
from lora_tui.text import terminal_safe
from lora_tui.views.query_json import query_data, query_of, sort_in, text_in, texts_of

WITH_A_KEY: Final = 9
"""The first views of a file have the keys 1 to 9."""
LONGEST_NAME: Final = 60
_CURVE: Final = "curve"
"""A column of the table that is no value of a model."""
LARGEST: Final = 10_000_000
"""Bytes; a larger file is none of ours."""
_MOST_VIEWS: Final = 200


class SavedView(NamedTuple):
    """What a list shows: what, in which order, and how."""

    name: str
    query: ModelQuery = ModelQuery()
    columns: tuple[str, ...] = ()
    """Of the table; none means those that fit best."""
    cards: bool = False
    """Whether the screen shows cards in place of the table."""
    hidden_metrics: tuple[str, ...] = ()
    """The charts of a run that are not drawn."""
    vanished_order: str = ""
    """The order in the file, where this version has none of this name."""

    @property
    def values(self) -> list[str]:
        """The columns that are values of a model; the curve is none."""
        return [column for column in self.columns if column != _CURVE]


class Views(NamedTuple):
    """The views of a file."""

    views: tuple[SavedView, ...] = ()
    kept: Path | None = None
    """Where the file is now if it was damaged."""

    @property
    def damage(self) -> str:
        """A sentence for the user; empty where the file was not damaged."""
        if self.kept is None:
            return ""
        return f"The saved views were damaged; the old file is now {self.kept.name}"


def beside(state_file: Path) -> Path:
    """The file of the views that belong to this file of the application's state."""
    return state_file.parent / "saved" / state_file.name


def read_views(path: Path) -> Views:
    """The views of a file, none where there is none. A damaged file is renamed.

    Raises DiskError, InUseError.
    """
    with _explained(path, "read"):
        try:
            entries = _entries(path)
        except FileNotFoundError:
            return Views()
        except ValueError:
            return Views(kept=_keep_damaged(path))
        return Views(tuple(_view_of(entry) for entry in entries))


def find_view(path: Path, name: str) -> SavedView:
    """The view of this name, ignoring case. Raises NotFoundError, DiskError, InUseError."""
    views = read_views(path).views
    for view in views:
        if _is_named(view.name, name):
            return view
    raise _no_view(name, [view.name for view in views])


def save_view(path: Path, view: SavedView) -> bool:
    """Add the view, or replace the one of its name, which it returns.

    Raises UsageError for a name that can't be one, or for too many or too large views; DiskError,
    InUseError.
    """
    named = view._replace(name=checked_name(view.name))
    replaced: list[bool] = []

    def change(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            if _is_named(_name_of(entry), named.name):
                entry.update(view_data(named))
                replaced.append(True)
                return
        if len(entries) >= _MOST_VIEWS:
            raise UsageError(
                f"There are {_MOST_VIEWS} views already",
                remedy="delete one with `lora-tui view delete NAME`",
            )
        entries.append(view_data(named))

    _change(path, change)
    return bool(replaced)


def delete_view(path: Path, name: str) -> None:
    """Raises NotFoundError, DiskError, InUseError."""

    def change(entries: list[dict[str, Any]]) -> None:
        del entries[_place_of(entries, name)]

    _change(path, change)


def rename_view(path: Path, name: str, new: str) -> None:
    """Raises UsageError where the new name is none or taken, NotFoundError, DiskError."""
    wanted = checked_name(new)

    def change(entries: list[dict[str, Any]]) -> None:
        place = _place_of(entries, name)
        for other, entry in enumerate(entries):
            if other != place and _is_named(_name_of(entry), wanted):
                raise UsageError(
                    f"There is a view {_name_of(entry)!r} already", remedy="choose another name"
                )
        entries[place]["name"] = wanted

    _change(path, change)


def checked_name(name: str) -> str:
    """The name as it is stored. Raises UsageError where it is empty or too long."""
    clean = terminal_safe(name, limit=LONGEST_NAME * 2)
    if not clean:
        raise UsageError("A view needs a name")
    if len(clean) > LONGEST_NAME:
        raise UsageError(f"The name of a view has at most {LONGEST_NAME} characters")
    return clean


def without_vanished(view: SavedView) -> tuple[SavedView, list[str]]:
    """The view without columns and conditions that this version can't show, and what is missing.

    The second is a sentence for each.
    """
    from lora_tui.cache.model_columns import column_of

    query, notes = without_broken_condition(view.query)
    if view.vanished_order:
        notes.append(f"there is no order {view.vanished_order!r} any more: the newest come first")
    columns = []
    for key in view.columns:
        try:
            columns.append(key if key == _CURVE else column_of(key).name)
        except UsageError:
            notes.append(f"there is no column {_short(key)!r} any more")
    usable = view._replace(query=query, columns=tuple(columns), vanished_order="")
    return usable, notes


def without_broken_condition(query: ModelQuery) -> tuple[ModelQuery, list[str]]:
    """The query without a condition that this version can't read, and a sentence that says so."""
    if query.where:
        from lora_tui.cache.conditions import parse

        try:
            parse(query.where)
        except UsageError as error:
            return query._replace(where=""), [f"its condition is left out: {error}"]
    return query, []


def _explained(path: Path, verb: str) -> Any:
    return translate_disk_errors(
        f"The saved views can't be {verb}",
        path,
        instead="set LORA_TUI_HOME to another directory",
    )


def _entries(path: Path) -> list[dict[str, Any]]:
    """The entries of the file. Raises ValueError where it is damaged, OSError."""
    content = read_regular_file(path, LARGEST + 1)
    try:
        found = parse_json(content) if len(content) <= LARGEST else None
    except RecursionError:
        found = None
    entries = found.get("views") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and _name_of(entry) for entry in entries
    ):
        raise ValueError("not a file of views")
    return entries


def _keep_damaged(path: Path) -> Path | None:
    """Rename the file, unless another process has replaced it meanwhile."""
    from lora_tui.locks.file_lock import locked_directory

    with locked_directory(path.parent):
        try:
            _entries(path)
        except FileNotFoundError:
            return None
        except ValueError:
            return set_aside(path)
    return None


def _change(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the entries of the file, which is read and written under the directory's lock."""
    from lora_tui.locks.file_lock import locked_directory

    with _explained(path, "saved"):
        make_private_directory(path.parent)
        with locked_directory(path.parent):
            try:
                entries = _entries(path)
            except FileNotFoundError:
                entries = []
            except ValueError:
                set_aside(path)
                entries = []
            change(entries)
            text = json_text({"views": entries}, indent=1) + "\n"
            if len(text) > LARGEST:
                raise UsageError(
                    "The saved views would take more than 10 MB",
                    remedy="delete one with `lora-tui view delete NAME`",
                )
            write_private_file(path, text)


def _place_of(entries: Sequence[Mapping[str, Any]], name: str) -> int:
    for place, entry in enumerate(entries):
        if _is_named(_name_of(entry), name):
            return place
    raise _no_view(name, [_name_of(entry) for entry in entries])


def _no_view(name: str, names: Sequence[str]) -> NotFoundError:
    from lora_tui.cache.closeness import nearest

    shown = _short(name)
    near = nearest(shown, names)
    return NotFoundError(
        f"There is no view {shown!r}",
        details=f"similar: {', '.join(near)}" if near else None,
        remedy="`lora-tui view list` lists the views"
        if names
        else "`lora-tui view save NAME` saves one, or V in the application",
    )


def _short(name: str) -> str:
    return terminal_safe(name, limit=LONGEST_NAME)


def _is_named(name: str, wanted: str) -> bool:
    return name.casefold() == terminal_safe(wanted).casefold()


def _name_of(entry: Mapping[str, Any]) -> str:
    return _short(text_in(entry, "name"))


def _view_of(entry: Mapping[str, Any]) -> SavedView:
    query = query_of(entry.get("query"))
    order = text_in(mapping(entry.get("query")), "sort")
    return SavedView(
        _name_of(entry),
        query,
        texts_of(entry.get("columns")),
        entry.get("cards") is True,
        texts_of(entry.get("hidden_metrics")),
        _short(order) if order and sort_in(order) is None else "",
    )


def view_data(view: SavedView) -> dict[str, Any]:
    """The view as JSON data, in the file and for `--json`."""
    return {
        "name": view.name,
        "query": query_data(view.query),
        "columns": list(view.columns),
        "cards": view.cards,
        "hidden_metrics": list(view.hidden_metrics),
    }
