"""The command `report`: one model as a document, or several compared, from the cache."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from lora_tui.commands.compare import check_number, resolve_each
from lora_tui.commands.context import Context, resolve
from lora_tui.config.kinds import expanded
from lora_tui.documents.comparison import read_comparison, read_curves, read_document
from lora_tui.documents.model_report import read_card
from lora_tui.errors import DiskError, UsageError
from lora_tui.files import PUBLIC_MODE, disk_error, write_file
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.best import validation_data, validation_of
from lora_tui.reports.compare import to_data
from lora_tui.reports.curve_picture import curve_svg, curves_svg
from lora_tui.reports.model_card import to_html
from lora_tui.reports.model_markdown import to_markdown

_PAGES = (".html", ".htm")


def report(context: Context) -> None:
    """Print the document, or write it to a file atomically; the picture is a file of its own."""
    arguments = context.arguments
    if len(arguments.model) > 1:
        check_number(arguments.model)
    output = _new_file(context, arguments.output, "--output")
    picture = _new_file(context, arguments.picture, "--picture")
    if picture is not None:
        _require_svg(picture)
        if output is not None and picture.resolve() == output.resolve():
            raise UsageError(
                "--output and --picture name the same file",
                details=str(picture),
                remedy="give each a file of its own",
            )
    page = _is_page(context, output)
    with context.cache() as db:
        if len(arguments.model) == 1:
            text, svg, data = _of_one(context, db, page, _link(output, picture))
        else:
            text, svg, data = _of_several(context, db, page, _link(output, picture))
    if picture is not None and svg is None:
        raise UsageError(
            "There is no curve to draw: fewer than two losses are cached",
            remedy="leave out --picture, or open the model in `lora-tui`, which fetches them",
        )
    _write_both(output, text, picture, svg)
    if context.json:
        written = {
            "format": "html" if page else "md",
            "path": None if output is None else str(output),
            "picture": None if picture is None else str(picture),
            "report": text if output is None else None,
        }
        context.print_data(data | written)
    elif output is None:
        context.out.write(text)
    for path in (output, picture):
        if path is not None and not context.json:
            context.say(f"Written to {path}")


def _of_one(
    context: Context, db: sqlite3.Connection, page: bool, link: str | None
) -> tuple[str, str | None, dict[str, Any]]:
    card = read_card(db, resolve(db, context.arguments.model[0]).id)
    model = card.model
    data = {
        "model_id": model.id,
        "model_name": model.name,
        "validation": validation_data(validation_of(model, card.verdict)),
    }
    return to_html(card) if page else to_markdown(card, picture=link), curve_svg(card.curve), data


def _of_several(
    context: Context, db: sqlite3.Connection, page: bool, link: str | None
) -> tuple[str, str | None, dict[str, Any]]:
    if page:
        raise UsageError(
            "A comparison is written as Markdown only, not as HTML",
            remedy="leave out --html, or name one model",
        )
    compared = read_comparison(db, resolve_each(db, context.arguments.model))
    shown = compared.order[:MAX_COMPARED]
    models = [compared.comparison.models[index] for index in shown]
    text = read_document(db, compared.comparison, order=compared.order, picture=link)
    names = [compared.comparison.name_of(index) for index in shown]
    return text, curves_svg(names, read_curves(db, models)), to_data(compared.comparison)


def _is_page(context: Context, output: Path | None) -> bool:
    """Whether HTML is wanted: by an option, else by the name of the file."""
    chosen = context.arguments.format
    if chosen is not None:
        return bool(chosen == "html")
    return output is not None and output.name.lower().endswith(_PAGES)


def _link(output: Path | None, picture: Path | None) -> str | None:
    """How the document names the picture: only where both are files of one directory."""
    if output is None or picture is None or output.parent != picture.parent:
        return None
    return picture.name


def _require_svg(path: Path) -> None:
    if path.suffix.lower() != ".svg":
        raise UsageError(
            f"--picture writes SVG, not {path.suffix or 'a file without a suffix'}",
            remedy="name a file that ends in .svg; `rsvg-convert`, Inkscape or a browser turns it"
            " into a PNG",
        )


def _new_file(context: Context, name: str | None, option: str) -> Path | None:
    """The path of a file that may be written.

    Raises UsageError where it exists already, and for what names no file: a dash, nothing, a
    directory.
    """
    if name is None:
        return None
    if not name:
        raise UsageError(f"{option} names no file", remedy="write a name after it")
    if name == "-":
        raise UsageError(
            f"{option} takes the name of a file, not -",
            remedy="without --output the report is printed" if option == "--output" else None,
        )
    path = expanded(name, option)
    if path.is_dir() or name.endswith("/"):
        raise UsageError(f"{option} names a directory", details=name, remedy="name a file in it")
    if path.is_file() and not context.arguments.force:
        raise UsageError(
            f"{path} exists already",
            remedy="choose another name, or replace it with --force",
        )
    return path


def _write_both(output: Path | None, text: str, picture: Path | None, svg: str | None) -> None:
    """Write what is wanted. Raises DiskError; then no file is left that was not there before."""
    is_new = output is not None and not output.exists()
    if output is not None:
        _write(output, text, "The report")
    if picture is None or svg is None:
        return
    try:
        _write(picture, svg, "The picture")
    except DiskError:
        if output is not None and is_new:
            output.unlink(missing_ok=True)
        raise


def _write(path: Path, text: str, what: str) -> None:
    try:
        if path.exists() and not path.is_file():  # write to a device, never replace it
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # keep a symbolic link
        write_file(path, text, mode=PUBLIC_MODE)
    except OSError as error:
        raise disk_error(
            error,
            f"{what} can't be written",
            path,
            instead="choose a directory that you may write to",
        ) from error
