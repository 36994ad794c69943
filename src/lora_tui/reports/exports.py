"""Tables as Markdown and CSV, in which remote text stays text; and a file of one's own for them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_tui.errors import DiskError
from lora_tui.filenames import safe_file_name
from lora_tui.files import disk_error

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$@&]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\N{MINUS SIGN}")
_BREAKS = ("\t", "\r", "\n", "\v", "\f", "\x85", "\u2028", "\u2029")
_UNSEEN = re.compile(
    r"\A[\s\x00-\x1f\x7f-\xa0\xad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+"
)
_MOST_NAMES = 1_000


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table; the text of its cells is escaped by `markdown_text`."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| " + " | ".join(cell if index == 1 else markdown_text(cell) for cell in line) + " |\n"
        for index, line in enumerate(lines)
    )


def markdown_text(text: str) -> str:
    """Text that renders as itself: no markup, no link, no HTML, no cell or line of its own."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def csv_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """RFC 4180 with plain line feeds; a text that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([escape_formula(cell) for cell in line] for line in (header, *rows))
    return out.getvalue()


def escape_formula(value: Any) -> Any:
    """A spreadsheet runs what begins like a formula; a leading quote makes it text."""
    if not isinstance(value, str):
        return value
    # programs pass over what is not seen, and take full-width and small forms for the plain ones
    seen = _UNSEEN.sub("", value)
    first = unicodedata.normalize("NFKC", seen[:1])[:1]
    if first in _FORMULA or any(sign in value[: len(value) - len(seen)] for sign in _BREAKS):
        return f"'{value}"
    return value


def write_new_file(directory: Path, name: str, text: str) -> Path:
    """Write a file that was not there before: `name`, or `name` with a number. Raises DiskError."""
    stem, dot, suffix = safe_file_name(name).rpartition(".")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST_NAMES):
            path = directory / (
                f"{stem}{dot}{suffix}" if number == 1 else f"{stem}-{number}{dot}{suffix}"
            )
            try:
                file = path.open("x", encoding="utf-8", newline="")  # follows no link
            except FileExistsError:
                continue
            try:
                with file:
                    file.write(text)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return path
    except OSError as error:
        raise disk_error(error, "The file can't be written", directory) from error
    raise DiskError(f"There are too many files named {name} already", details=str(directory))
