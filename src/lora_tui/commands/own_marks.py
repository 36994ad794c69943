"""`favorite`, `tag`, `note`: one's own marks of models, in a file of this machine. No network."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from lora_tui import formats
from lora_tui.commands.context import Context, resolve, told
from lora_tui.domain.own_marks import LONGEST_NOTE, Marks, tag_counts
from lora_tui.errors import LoraTuiError, NotFoundError, UsageError
from lora_tui.marks import changes
from lora_tui.marks.copy import refresh_copy
from lora_tui.marks.file import MarksFile
from lora_tui.text import cell_width

_MOST_BYTES: Final = 4 * LONGEST_NOTE + 1
"""Of a note that is read; a longer one is refused anyway."""


def favorite(context: Context) -> None:
    """Make models favorites, or no longer."""
    wanted = not context.arguments.remove
    with context.cache(needs_marks=True) as db:
        models = _named(context, db, context.arguments.model, gone_too=not wanted)
        with changing_marks(context, db) as marks:
            changed = changes.set_favorite(marks, models, wanted=wanted)
    if context.json:
        context.print_data(
            {
                "models": [
                    {"id": key, "name": name, "favorite": wanted, "changed": key in changed}
                    for key, name in models.items()
                ]
            }
        )
        return
    for key, name in models.items():
        if key not in changed:
            context.say(f"{name} is {'already' if wanted else 'not'} a favorite.")
        elif wanted:
            context.say(f"{name} is a favorite. Undo: `lora-tui favorite {key[:8]} --remove`")
        else:
            context.say(f"{name} is no longer a favorite. Undo: `lora-tui favorite {key[:8]}`")


def tag(context: Context) -> None:
    """Add tags to a model, or remove them; list all tags, or those of a model."""
    arguments = context.arguments
    if arguments.model == "list" and not arguments.tag:
        _list_tags(context)
        return
    if arguments.remove and not arguments.tag:
        raise UsageError("No tag is named", remedy="use `lora-tui tag MODEL TAG --remove`")
    with context.cache(needs_marks=True) as db:
        models = _named(context, db, [arguments.model], gone_too=arguments.remove)
        ((key, name),) = models.items()
        what = "remove" if arguments.remove else "add"
        with changing_marks(context, db) as marks:
            change = changes.change_tags(marks, models, **{what: arguments.tag})[key]
    if context.json:
        context.print_data(
            {"id": key, "name": name, "tags": change.tags, "added": change.added,
             "removed": change.removed}
        )  # fmt: skip
        return
    if not arguments.tag:
        context.out.write("".join(f"{tag}\n" for tag in change.tags))
        return
    changed = " ".join(change.removed if arguments.remove else change.added)
    if changed:
        undo = f"`lora-tui tag {key[:8]} {changed}{'' if arguments.remove else ' --remove'}`"
        verb = "lost" if arguments.remove else "has"
        context.say(f"{name} {verb} the tags: {changed}. Undo: {undo}")
    else:
        context.say(f"Nothing changed. Tags of {name}: {' '.join(change.tags) or 'none'}")


def note(context: Context) -> None:
    """Write the note of a model: the text given, of a pipe, or of the user's editor."""
    arguments = context.arguments
    if arguments.remove and arguments.text is not None:
        raise UsageError("--remove takes no text", remedy="leave out one of them")
    was_edited = False
    with context.cache(needs_marks=True) as db:
        models = _named(context, db, [arguments.model], gone_too=arguments.remove)
        ((key, name),) = models.items()
        if arguments.remove or arguments.text is not None:
            text = "" if arguments.remove else arguments.text
            with changing_marks(context, db) as marks:
                before = changes.set_note(marks, key, name, text)
        elif sys.stdin.isatty():
            before, was_edited = _edit(context, db, key, name), True
        else:
            text = _read_stdin()
            with changing_marks(context, db) as marks:
                before = changes.set_note(marks, key, name, text)
        now = _marks_file(context).read().marks.marks_of(key).note
    if context.json:
        context.print_data({"id": key, "name": name, "note": now, "before": before})
    elif now == before:
        context.say(f"The note of {name} was not changed.")
    elif not now:
        context.say(f"The note of {name} was removed. It was:")
        context.talk.write(f"{before}\n")
    else:
        lines = formats.counted(now.count("\n") + 1, "line")
        is_replaced = bool(before) and not was_edited
        undo = "" if before else f" Undo: `lora-tui note {key[:8]} --remove`"
        context.say(f"The note of {name} has {lines}.{' It was:' if is_replaced else undo}")
        if is_replaced:
            context.talk.write(f"{before}\n")


@contextmanager
def changing_marks(context: Context, db: Connection) -> Iterator[Marks]:
    """The marks, which are written when the block ends, then copied into the cache.

    Raises as `MarksFile.changing`.
    """
    file = _marks_file(context)
    with file.changing() as marks:
        yield marks
    try:
        refresh_copy(db, file)
    except LoraTuiError as error:  # the file has it, which is what counts
        context.say(told(error))


def _marks_file(context: Context) -> MarksFile:
    return MarksFile(context.marks_path(), context.say)


def _named(
    context: Context, db: Connection, references: Sequence[str], *, gone_too: bool
) -> dict[str, str]:
    """Id → name of the models; with `gone_too` also of marked ones that the cache lacks."""
    found: dict[str, str] = {}
    for reference in references:
        try:
            model = resolve(db, reference)
        except NotFoundError:
            key = _marked(context, reference) if gone_too else None
            if key is None:
                raise
            found[key[0]] = key[1]
        else:
            found[model.id] = model.name
    return found


def _marked(context: Context, reference: str) -> tuple[str, str] | None:
    """The one marked model with this id, start of an id, or name; None where there is none."""
    models = _marks_file(context).read().marks.models
    typed = reference.strip().lower()
    found = [
        (key, marks.name or key)
        for key, marks in models.items()
        if marks.name == reference or (len(typed) >= 4 and key.lower().startswith(typed))
    ]
    return found[0] if len(found) == 1 else None


def _list_tags(context: Context) -> None:
    with context.cache(needs_marks=True):
        counts = tag_counts(_marks_file(context).read().marks.models)
    if context.json:
        rows = [{"tag": name, "models": number} for name, number in counts.items()]
        context.print_data({"tags": rows})
        return
    wide = max(map(cell_width, counts), default=0)
    context.out.writelines(
        f"{name}{' ' * (wide - cell_width(name))}  {number:>5}\n" for name, number in counts.items()
    )
    if not counts:
        context.say("No model has a tag: `lora-tui tag MODEL TAG` adds one.")


def _read_stdin() -> str:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        text = sys.stdin.read(_MOST_BYTES)
    else:
        text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    if not text.strip():
        raise UsageError(
            "The note is empty", remedy="type it after the model; --remove removes the note"
        )
    return text


def _edit(context: Context, db: Connection, key: str, name: str) -> str:
    """Let the user edit the note in their editor, and write it; the note before."""
    before = _marks_file(context).read().marks.marks_of(key).note
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    directory = Path(tempfile.mkdtemp(prefix="lora-tui-note-"))
    file = directory / "note.md"
    file.write_text(f"{before}\n" if before else "", encoding="utf-8")
    try:
        ended = subprocess.run([*shlex.split(command), str(file)], check=False).returncode  # noqa: S603 - the user's own editor
    except (OSError, ValueError) as error:
        _remove(file)
        raise UsageError(
            f"The editor can't be started: {command}",
            details=str(error),
            remedy="set EDITOR, or type the note after the model",
        ) from None
    if ended != 0:
        raise UsageError(
            f"The editor ended with {ended}, so the note was not changed",
            details=f"the text is in {file}",
            remedy="try again, or type the note after the model",
        )
    try:
        with file.open("rb") as edited:
            text = edited.read(_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        text = before
    try:
        with changing_marks(context, db) as marks:
            if marks.marks_of(key).note != before:
                raise UsageError(
                    "The note was changed by another program meanwhile",
                    remedy=f"add your text to it: it is in {file}",
                )
            changes.set_note(marks, key, name, text)
    except LoraTuiError as error:
        error.details = error.details or f"your text is in {file}"
        raise
    _remove(file)
    return before


def _remove(file: Path) -> None:
    """Remove the edited file, what the editor left beside it, and their directory."""
    import shutil

    shutil.rmtree(file.parent, ignore_errors=True)
