"""The line of the filter form that takes a condition: what completes it, and what is wrong."""

from __future__ import annotations

import re
from typing import Final

from lora_tui.cache.condition_tokens import pointing_lines
from lora_tui.cache.conditions import parse
from lora_tui.cache.model_columns import MODEL_COLUMNS, ModelColumn
from lora_tui.errors import ConditionError
from lora_tui.text import cell_width

_WORD: Final = re.compile(r"[\w-]*\Z")
_NAME: Final = 21


def error_of(text: str) -> ConditionError | None:
    """Why the text is no condition; None where it is one, or empty."""
    if not text.strip():
        return None
    try:
        parse(text)
    except ConditionError as error:
        return error
    return None


def error_lines(text: str, error: ConditionError, width: int) -> list[str]:
    """The word marked below the line with the text, and what is wrong with it."""
    shown, pointer = pointing_lines(error, width)
    marked = [pointer] if cell_width(text) < width else [shown, pointer]
    return [*marked, f"{error}; {error.remedy}" if error.remedy else str(error)]


def completions(text: str, cursor: int) -> list[ModelColumn]:
    """The columns whose names begin with, else contain, the word before the cursor."""
    if _is_quoted(text[:cursor]):
        return []
    word = _word_before(text, cursor).lower().replace("-", "_")
    begin = [column for column in MODEL_COLUMNS if column.name.startswith(word)]
    if word and begin == [column for column in begin if column.name == word]:
        return [] if begin else [column for column in MODEL_COLUMNS if word in column.name]
    return begin


def completed(text: str, cursor: int, name: str) -> tuple[str, int]:
    """The text with this name in place of the word before the cursor, and the new cursor."""
    start = cursor - len(_word_before(text, cursor))
    rest = text[cursor:]
    blank = "" if rest[:1].isspace() else " "
    return f"{text[:start]}{name}{blank}{rest}", start + len(name) + 1


def completion_text(column: ModelColumn) -> str:
    """The line of a column among the completions."""
    return f"{column.name:<{_NAME}} {column.meaning} ({column.kind.value})"


def _word_before(text: str, cursor: int) -> str:
    found = _WORD.search(text[:cursor])
    return found[0] if found else ""


def _is_quoted(text: str) -> bool:
    """Whether a quotation is open at the end of the text."""
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return bool(quote)
