"""`marks export` and `marks import`: one's own marks as a file for git and for a team."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lora_tui import clock, formats
from lora_tui.commands.context import Context
from lora_tui.commands.own_marks import changing_marks
from lora_tui.config.kinds import expanded
from lora_tui.domain.own_marks import Marks
from lora_tui.errors import NotFoundError
from lora_tui.files import PUBLIC_MODE, read_regular_file, translate_disk_errors, write_file
from lora_tui.json_values import parse_json
from lora_tui.marks.document import MOST_BYTES, Parsed, marks_text, parse_marks
from lora_tui.marks.file import MarksFile
from lora_tui.marks.merge import Merged, merge, replace_all
from lora_tui.text import terminal_safe

_STREAM = "-"
_MOST_TOLD = 3


def export_marks(context: Context) -> None:
    """Write the marks file, as JSON, to a file or to stdout."""
    with context.cache(needs_marks=True):
        marks = MarksFile(context.marks_path(), context.say).read().marks
    text, given = marks_text(marks), context.arguments.file
    counts = {"models": len(marks.models), "aliases": len(marks.aliases)}
    if given in (None, _STREAM):
        if context.json:
            context.print_data(parse_json(text))
        else:
            context.out.write(text)
        return
    path = expanded(given, "FILE")
    with translate_disk_errors("The marks can't be written", path, instead="choose another FILE"):
        if path.exists() and not path.is_file():  # write to a device, never replace it
            path.write_text(text, encoding="utf-8")
        else:
            write_file(path.resolve(), text, mode=PUBLIC_MODE)  # keeps a symbolic link
    if context.json:
        context.print_data({"file": str(path), **counts})
    else:
        told = f"{formats.counted(len(marks.models), 'marked model')} and"
        aliases = formats.counted(len(marks.aliases), "alias", "aliases")
        context.say(f"{told} {aliases} written to {path}")


def import_marks(context: Context) -> None:
    """Merge the marks of a file into one's own, or replace them; say what that did."""
    arguments = context.arguments
    parsed = _read(arguments.file)
    theirs, kept = parsed.marks, ""
    with context.cache(needs_marks=True) as db:
        file = MarksFile(context.marks_path(), context.say)
        if arguments.dry_run:
            mine = file.read().marks
            is_same, merged = _take(mine, theirs, replace=arguments.replace)
        else:
            with changing_marks(context, db) as mine:
                is_same, merged = _take(mine, theirs, replace=arguments.replace)
                if not is_same:
                    kept = file.keep_copy("before-import")
    if context.json:
        context.print_data(
            {
                "file": arguments.file,
                "dry_run": bool(arguments.dry_run),
                "replaced": bool(arguments.replace),
                "changed": not is_same,
                **_data(merged),
                "kept": merged.kept,
                "left_out": list(parsed.left_out),
                "file_before": kept or None,
            }
        )
        return
    if parsed.left_out_sentence:
        context.say(f"{parsed.left_out_sentence}.")
    would = "Would be" if arguments.dry_run else "Was"
    if arguments.replace and not is_same:
        models, aliases = len(theirs.models), len(theirs.aliases)
        context.say(
            f"{would} replaced by the marks of {formats.counted(models, 'model')}"
            f" and {formats.counted(aliases, 'alias', 'aliases')}."
        )
    for line in () if arguments.replace else _lines(merged, mine):
        context.out.write(f"{line}\n")
    if is_same:
        context.say("Nothing is new: all of these marks are here already.")
    elif arguments.dry_run:
        context.say("Nothing was changed (--dry-run).")
    elif kept:
        context.say(f"Undo: `lora-tui marks import --replace '{kept}'`")


def _read(given: str) -> Parsed:
    """The marks of FILE, or of stdin. Raises NotFoundError, DiskError, IntegrityError."""
    if given == _STREAM:
        stream = getattr(sys.stdin, "buffer", None)
        content = stream.read(MOST_BYTES + 1) if stream else sys.stdin.read().encode()
        return parse_marks(content)
    path = expanded(given, "FILE").absolute()
    if not path.exists():
        raise NotFoundError(
            "There is no such file", details=str(path), remedy="check the path of FILE"
        )
    with translate_disk_errors("The marks can't be read", path):
        return parse_marks(read_regular_file(Path(path).resolve(), MOST_BYTES + 1))


def _take(mine: Marks, theirs: Marks, *, replace: bool) -> tuple[bool, Merged]:
    """Change `mine`; whether it is the same as before, and what a merge did."""
    if replace:
        is_same = mine == theirs
        replace_all(mine, theirs)
        return is_same, Merged()
    merged = merge(mine, theirs, clock.now())
    return merged.changes_nothing, merged


def _data(merged: Merged) -> dict[str, Any]:
    return {
        "favorites": merged.favorites,
        "tags": merged.tags,
        "notes": merged.notes,
        "aliases": merged.aliases,
        "histories": merged.histories,
    }


def _lines(merged: Merged, marks: Marks) -> Iterator[str]:
    """What the merge did, a line for each kind of mark."""
    if merged.favorites:
        names = _names(merged.favorites, marks)
        yield f"favorites  {formats.count(len(merged.favorites))} more: {names}"
    if merged.tags:
        number = formats.count(sum(map(len, merged.tags.values())))
        yield f"tags       {number} more: {_names(merged.tags, marks)}"
    if merged.notes:
        names = _names(merged.notes, marks)
        yield f"notes      {formats.count(len(merged.notes))} new or longer: {names}"
    for alias in merged.aliases:
        move = marks.current(alias)
        yield f"alias      @{alias} now {move.name or move.model_id if move else 'names nothing'}"
    if merged.histories:
        yield f"history    earlier moves of {', '.join(merged.histories)}"
    for line in merged.kept:
        yield f"left out   {terminal_safe(line, limit=200)}"


def _names(ids: list[str] | Mapping[str, object], marks: Marks) -> str:
    """The names of the first models, and how many more there are."""
    names = [marks.marks_of(key).name or key for key in ids]
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return terminal_safe(", ".join(names[:_MOST_TOLD]), limit=300) + more
