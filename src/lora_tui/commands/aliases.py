"""`alias`: names of one's own for models, which move and remember where they were. No network."""

from __future__ import annotations

from typing import Any

from lora_tui import clock, formats
from lora_tui.cache import models
from lora_tui.clock import parse_timestamp
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.missing_alias import model_text, near_aliases
from lora_tui.commands.own_marks import changing_marks
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import table_width_of, width_of
from lora_tui.commands.table import Column, table_lines
from lora_tui.domain.own_marks import AliasMove, alias_of
from lora_tui.errors import NotFoundError
from lora_tui.marks import changes
from lora_tui.marks.file import MarksFile
from lora_tui.text import terminal_safe


def set_alias(context: Context) -> None:
    """Let an alias name a model; say what it named before."""
    alias = alias_of(context.arguments.alias)
    with context.cache(needs_marks=True) as db:
        model = resolve(db, context.arguments.model)
        with changing_marks(context, db) as marks:
            before = changes.move_alias(marks, alias, model.id, model.name, clock.now())
            alias = marks.alias_named(alias) or alias
    if context.json:
        context.print_data(
            {"alias": alias, "model_id": model.id, "name": model.name, "before": _move(before)}
        )
    elif before is None:
        context.say(f"@{alias} is {model.name}. Undo: `lora-tui alias remove {alias}`")
    elif before.model_id == model.id:
        context.say(f"@{alias} is {model.name} already.")
    else:
        context.say(
            f"@{alias} moved from {model_text(before)} to {model.name}."
            f" Undo: `lora-tui alias set {alias} {before.model_id[:8]}`"
        )


def remove_alias(context: Context) -> None:
    """Let an alias name nothing; its history stays."""
    alias = alias_of(context.arguments.alias)
    with context.cache(needs_marks=True) as db:
        try:
            with changing_marks(context, db) as marks:
                before = changes.remove_alias(marks, alias, clock.now())
                alias = marks.alias_named(alias) or alias
        except NotFoundError as error:
            near = near_aliases(db, alias)
            error.details = f"similar: {', '.join(near)}" if near else None
            raise
    if context.json:
        context.print_data({"alias": alias, "before": _move(before)})
    elif before is None:
        context.say(f"@{alias} was removed before.")
    else:
        context.say(
            f"@{alias} was removed; it was {model_text(before)}."
            f" Undo: `lora-tui alias set {alias} {before.model_id[:8]}`"
        )


def list_aliases(context: Context) -> None:
    """Print the aliases with the models that they name."""
    with context.cache(needs_marks=True) as db:
        marks = MarksFile(context.marks_path(), context.say).read().marks
        used = [(alias, move) for alias in marks.aliases if (move := marks.current(alias))]
        there = models.names_of(db, [move.model_id for _, move in used])
    rows = [
        {
            "alias": alias,
            "model_id": move.model_id,
            "name": there.get(move.model_id, move.name),
            "since": move.at,
            "in_cache": move.model_id in there,
        }
        for alias, move in sorted(used)
    ]
    if context.json:
        context.print_data({"aliases": rows})
        return
    columns = (
        Column("ALIAS", 3), Column("ID", 2), Column("NAME", 2, least=20), Column("SINCE", 1),
    )  # fmt: skip
    texts = [
        (
            f"@{row['alias']}",
            str(row["model_id"])[:8],
            terminal_safe(row["name"], limit=200)
            + ("" if row["in_cache"] else " (not in the cache)"),
            formats.date(parse_timestamp(row["since"])),
        )
        for row in rows
    ]
    context.out.writelines(
        f"{line}\n" for line in table_lines(columns, texts, table_width_of(context))
    )
    if not rows:
        context.say("There is no alias: `lora-tui alias set NAME MODEL` makes one.")


def alias_history(context: Context) -> None:
    """Print which models an alias named, and since when; the newest first."""
    alias = alias_of(context.arguments.alias)
    with context.cache(needs_marks=True) as db:
        marks = MarksFile(context.marks_path(), context.say).read().marks
        known = marks.alias_named(alias)
        if known is None:
            near = near_aliases(db, alias)
            raise NotFoundError(
                f"There never was an alias {alias}",
                details=f"similar: {', '.join(near)}" if near else None,
                remedy="run `lora-tui alias list`",
            )
    moves = marks.aliases[known]
    if context.json:
        context.print_data({"alias": known, "history": [_move(move) for move in moves]})
        return
    before = (AliasMove("", ""), *moves)
    for place in range(len(moves) - 1, -1, -1):
        move, last = moves[place], before[place]
        moved = f"from {model_text(last)} " if last.model_id else ""
        when = formats.date_time(parse_timestamp(move.at))
        what = f"{moved}to {model_text(move)}" if move.model_id else f"removed {moved}".strip()
        lines = label_lines(when, what, width_of(context), start=len(when) + 1)
        context.out.writelines(f"{line}\n" for line in lines)


def _move(move: AliasMove | None) -> dict[str, Any] | None:
    if move is None:
        return None
    return {"at": move.at, "model_id": move.model_id or None, "name": move.name or None}
