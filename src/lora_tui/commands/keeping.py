"""`rename`, `describe`, `archive`, `delete`, `restore`: one's own models in the project."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.cache import models
from lora_tui.cache.deleted_models import deleted_row, find_deleted, select_deleted
from lora_tui.cache.deleted_models import select_deleted_rows as deleted_rows
from lora_tui.commands.context import Context, ambiguous, resolve, told
from lora_tui.commands.style import table_width_of
from lora_tui.commands.table import Column, table_lines
from lora_tui.domain import Model
from lora_tui.errors import ExitCode, LoraTuiError, NotFoundError, UsageError
from lora_tui.json_values import json_text
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.domain import Row
    from lora_tui.engine.online import OnlineWriters

_ARCHIVED: Final = "archived"
_MOST_BYTES: Final = 8_001
"""Of a description that is read; a longer one is refused anyway."""
_NAME: Final = 80
_CONDITIONS: Final = (
    *("view", "sort", "reverse", "search", "quality", "min_stars", "dataset", "preset"),
    *("base_model", "since", "until", "downloaded", "archived", "columns", "where"),
)
"""Options of `list` that `--deleted` does not know."""
_TABLE: Final = (Column("ID", 100), Column("DELETED", 90), Column("NAME", 95, least=14))


class _Chosen(NamedTuple):
    """A model that was named, with its row in the cache."""

    id: str
    name: str
    row: Mapping[str, Any]

    @property
    def shown(self) -> str:
        return terminal_safe(self.name, limit=_NAME)

    @property
    def seen(self) -> str:
        return str(self.row.get("updated_at") or "")

    @property
    def is_deleted(self) -> bool:
        return self.row.get("deleted_at") is not None

    @property
    def is_archived(self) -> bool:
        return self.row.get("status") == _ARCHIVED


def rename(context: Context) -> None:
    """Give a model another name."""
    with _changing(context) as (db, online):
        from lora_tui.keeping.change import renaming

        model = _living(db, context.arguments.model)
        changes = renaming(context.arguments.new_name)
        is_same = changes["name"] == model.row.get("name")
        row = model.row if is_same else online.change_model(model.id, changes, seen=model.seen)
    name = terminal_safe(row.get("name"), limit=200)
    if context.json:
        context.print_data({"id": model.id, "name": row.get("name"), "before": model.name})
    elif is_same:
        context.say(f"{name} is its name already.")
    else:
        dashes = "-- " if model.name.startswith("-") else ""
        undo = f"Undo: `lora-tui rename {model.id[:8]} {dashes}{_quoted(model.name)}`"
        context.say(f"{model.shown} is {name} now. {undo}")


def describe(context: Context) -> None:
    """Write, remove or print the description of a model."""
    text = context.arguments.text
    if text is None:
        with context.cache() as db:
            model = _living(db, context.arguments.model)
        described = terminal_safe(model.row.get("description"), limit=10_000, lines=True)
        if context.json:
            context.print_data({"id": model.id, "name": model.name, "description": described})
        elif described:
            context.out.write(f"{described}\n")
        else:
            context.say(f"{model.shown} has no description.")
        return
    if text == "-":
        text = sys.stdin.read(_MOST_BYTES)
    with _changing(context) as (db, online):
        from lora_tui.keeping.change import describing

        model = _living(db, context.arguments.model)
        changes = describing(text)
        row = online.change_model(model.id, changes, seen=model.seen)
    before = terminal_safe(model.row.get("description"), limit=10_000, lines=True)
    if context.json:
        written = row.get("description") or ""
        context.print_data(
            {"id": model.id, "name": model.name, "description": written, "before": before}
        )
        return
    done = "has a description" if row.get("description") else "has no description"
    context.say(f"{model.shown} {done} now.{' It was:' if before else ''}")
    if before:
        context.talk.write(f"{before}\n")


def archive(context: Context) -> ExitCode:
    """Mark models as archived; they stay in the list."""
    with _changing(context) as (db, online):
        from lora_tui.keeping.change import archiving

        chosen = [_living(db, reference) for reference in context.arguments.model]
        return _each(
            context, _Act("archived", "archived already"), chosen,
            lambda model: online.change_model(model.id, archiving(), seen=model.seen),
            is_done=lambda model: model.is_archived,
        )  # fmt: skip


def delete(context: Context) -> ExitCode:
    """Delete models in the project, after a question; `restore` undoes it."""
    if not context.arguments.yes and not context.can_ask:
        raise UsageError("Deleting needs a confirmation", remedy="add --yes")
    context.require_network()
    with context.cache() as db:
        from lora_tui.keeping.consequences import consequences

        named = [_living(db, reference, or_deleted=True) for reference in context.arguments.model]
        chosen = list({model.id: model for model in named}.values())
        living = [model for model in chosen if not model.is_deleted]
        remarks = {model.id: consequences(db, model.id) for model in living}
    for model in living:
        for remark in remarks[model.id]:
            context.say(f"{model.shown}: {remark}.")
    if living and not context.arguments.yes and not _is_confirmed(context, living):
        context.say("Nothing was deleted.")
        return ExitCode.OK
    with _changing(context) as (_, online):
        from lora_tui.keeping.change import deleting

        return _each(
            context, _Act("deleted", "deleted already"), chosen,
            lambda model: online.change_model(model.id, deleting(), seen=model.seen),
            is_done=lambda model: model.is_deleted,
        )  # fmt: skip


def restore(context: Context) -> ExitCode:
    """Take back the deletion of models; of models that are only archived, that."""
    with _changing(context) as (db, online):
        from lora_tui.keeping.change import unarchiving, undeleting

        chosen = [_gone(db, reference) for reference in context.arguments.model]

        def act(model: _Chosen) -> Row:
            changes = undeleting() if model.is_deleted else unarchiving(model.row)
            return online.change_model(model.id, changes, seen=model.seen)

        return _each(
            context, _Act("restored", "in the list, and not archived"), chosen, act,
            is_done=lambda model: not model.is_deleted and not model.is_archived,
        )  # fmt: skip


def list_deleted(context: Context) -> None:
    """Print the deleted models, the newest deletion first (`list --deleted`)."""
    arguments = context.arguments
    for option in _CONDITIONS:
        if getattr(arguments, option) is not None:
            name = option.replace("_", "-")
            raise UsageError(
                f"--{name} does not apply to deleted models", remedy=f"leave out --{name}"
            )
    first = (arguments.page - 1) * arguments.limit
    page = slice(first, first + arguments.limit)
    with context.cache() as db:
        everything, rows = select_deleted(db), deleted_rows(db)[page]
    found, total = everything[page], len(everything)
    if context.json:
        pagination = {
            "page": arguments.page,
            "limit": arguments.limit,
            "total": total,
            "totalPages": -(-total // arguments.limit),
        }
        context.print_data({"models": rows, "pagination": pagination})
        return
    if arguments.jsonl:
        context.out.writelines(f"{json_text(row)}\n" for row in rows)
        return
    if arguments.csv:
        from lora_tui.reports.exports import csv_table

        lines = [
            [model.id, model.name, model.deleted_at.isoformat() if model.deleted_at else ""]
            for model in found
        ]
        context.out.write(csv_table(["id", "name", "deleted_at"], lines))
        return
    cells = [(model.id[:8], formats.date_time(model.deleted_at), model.name) for model in found]
    width = table_width_of(context)
    if cells:
        context.out.writelines(f"{line}\n" for line in table_lines(_TABLE, cells, width))
    count = formats.counted(total, "deleted model")
    if len(found) < total:
        shown = f"{first + 1}–{first + len(found)}" if found else "0"
        count = f"{shown} of {count}"
    undo = ". `lora-tui restore MODEL` takes the deletion back." if total else "."
    context.say(f"{count}{undo}")


# What they share ----------------------------------------------------------------------------------


class _Act(NamedTuple):
    done: str
    already: str


@contextmanager
def _changing(context: Context) -> Iterator[tuple[Connection, OnlineWriters]]:
    """The cache, and the connection that changes models. Raises UnreachableError offline."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online, context.cache() as db:
        yield db, online


def _living(db: Connection, reference: str, *, or_deleted: bool = False) -> _Chosen:
    """A model of the list, or a deleted one. Raises as `resolve`."""
    try:
        model = resolve(db, reference)
    except NotFoundError:
        deleted = _find_deleted(db, reference) if or_deleted else []
        if len(deleted) != 1:
            raise
        return deleted[0]
    return _Chosen(model.id, model.name, models.get_row(db, model.id) or {})


def _gone(db: Connection, reference: str) -> _Chosen:
    """A deleted model, else one of the list. Raises NotFoundError, UsageError."""
    deleted = _find_deleted(db, reference)
    if len(deleted) > 1:
        raise ambiguous("deleted models", [f"{model.id[:8]} ({model.name})" for model in deleted])
    if deleted:
        return deleted[0]
    model = resolve(db, reference)
    return _Chosen(model.id, model.name, models.get_row(db, model.id) or {})


def _find_deleted(db: Connection, reference: str) -> list[_Chosen]:
    if reference.startswith("@"):
        from lora_tui.cache.own_marks import model_of_alias

        reference = model_of_alias(db, reference[1:]) or reference
    return [
        _Chosen(model.id, model.name, deleted_row(db, model.id) or {})
        for model in find_deleted(db, reference)
    ]


def _is_confirmed(context: Context, chosen: Sequence[_Chosen]) -> bool:
    names = ", ".join(model.shown for model in chosen[:5])
    more = f" and {len(chosen) - 5} more" if len(chosen) > 5 else ""
    what = formats.counted(len(chosen), "model")
    context.say(
        "Files stay in the bucket until the harvester removes them, where it is set to;"
        " `lora-tui restore` takes a deletion back."
    )
    return context.is_confirmed(f"Delete {what} in the project: {names}{more}?")


def _each(
    context: Context,
    act: _Act,
    chosen: Sequence[_Chosen],
    change: Callable[[_Chosen], Row],
    *,
    is_done: Callable[[_Chosen], bool] = lambda _: False,
) -> ExitCode:
    """Change each of the models; that one fails does not stop the others."""
    from lora_tui.keeping.change import OF_EVERY_MODEL

    results: list[dict[str, Any]] = []
    failed = 0
    for model in {model.id: model for model in chosen}.values():
        result: dict[str, Any] = {"id": model.id, "name": model.name}
        results.append(result)
        if is_done(model):
            result |= {"changed": False}
            context.say(f"{model.shown} is {act.already}.")
            continue
        try:
            row = change(model)
        except LoraTuiError as error:
            is_general = isinstance(error, OF_EVERY_MODEL)
            if len(chosen) == 1 or (is_general and len(results) == failed + 1):
                raise
            failed += 1
            result |= {"changed": False, "error": str(error)}
            context.say(f"{model.shown}: {told(error)}")
            if is_general:
                context.say("The others after it were not tried.")
                break
            continue
        result |= {"changed": True, "status": row.get("status")}
        if act.done == "restored":
            lost = Model.from_row(row).lost_files
            still = " It is still archived." if row.get("status") == _ARCHIVED else ""
            context.say(f"{model.shown} is back in the list.{still}{f' {lost}.' if lost else ''}")
        else:
            context.say(f"{model.shown} is {act.done}. Undo: `lora-tui restore {model.id[:8]}`")
    if context.json:
        context.print_data({"models": results})
    return ExitCode.PARTLY_FAILED if failed else ExitCode.OK


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(terminal_safe(text, limit=200))
