"""Writes text as Markdown and tables as CSV, with remote text escaped, and exports as new files."""

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

_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>#|~@&]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_CHAT_COMMANDS = re.compile(r"<(?=[!@#]|[a-z]+:)", re.IGNORECASE)
_FENCE = "```"
_FORMULA_SIGNS = ("=", "+", "-", "@", "\N{MINUS SIGN}")
_LINE_BREAKS = ("\t", "\r", "\n", "\v", "\f", "\x85", "\u2028", "\u2029")
_INVISIBLE = re.compile(
    r"\A[\s\x00-\x1f\x7f-\xa0\xad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+"
)
_MAX_ATTEMPTS = 1_000


def markdown_text(text: str) -> str:
    """Escape text for the inside of a line of Markdown: it renders literally there, on one line.

    What is no sign inside a line stays as it is, because Slack shows the backslashes.
    """
    return _MARKDOWN_SIGNS.sub(r"\\\1", _quiet(" ".join(text.split())))


def code_span(text: str) -> str:
    """Text as code inside a line, which GitHub and Slack both show literally."""
    return f"`{_quiet(' '.join(text.split())).replace('`', chr(39)) or ' '}`"


def code_block(lines: Sequence[str]) -> list[str]:
    """The lines of a block of code, which GitHub and Slack both show literally, in columns.

    Three or more backticks in a row would end it: they become quotes.
    """
    inner = [
        re.sub("`{3,}", lambda found: "'" * len(found[0]), _quiet(line)).rstrip() for line in lines
    ]
    return [_FENCE, *inner, _FENCE]


def _quiet(text: str) -> str:
    """The text with a space in what Slack's API would take for a mention or a link: `<!here>`."""
    return _CHAT_COMMANDS.sub("< ", text)


def csv_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """CSV by RFC 4180 with `\\n` line ends; texts are passed through `escape_formula`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([escape_formula(cell) for cell in line] for line in (header, *rows))
    return out.getvalue()


def escape_formula(value: Any) -> Any:
    """Put a quote before text that a spreadsheet would run as a formula."""
    if not isinstance(value, str):
        return value
    # spreadsheets skip invisible characters and accept full-width and small forms of these signs
    seen = _INVISIBLE.sub("", value)
    first = unicodedata.normalize("NFKC", seen[:1])[:1]
    if first in _FORMULA_SIGNS or any(
        sign in value[: len(value) - len(seen)] for sign in _LINE_BREAKS
    ):
        return f"'{value}"
    return value


def write_new_file(directory: Path, name: str, text: str) -> Path:
    """Write `text` to a new file: `name`, or `name` with a number where that exists.

    Raises DiskError.
    """
    stem, dot, suffix = safe_file_name(name).rpartition(".")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MAX_ATTEMPTS):
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
