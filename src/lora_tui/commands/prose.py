"""Breaks the texts of a command between words, by the cells that they take on a terminal."""

from __future__ import annotations

import re
from typing import Final

from lora_tui.text import cell_width

LABEL: Final = 20
"""Cells of the labels of facts."""
_LEAST_ROOM: Final = 20
_UNIT: Final = re.compile(r"(\d) (%|h|min|s|d|B|[KMGT]i?B|GPUs?|steps?|runs?|models?)(?!\w)")
"""A number and what it counts, which stay on one line."""


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells; a longer word (an id, a path) stays whole."""
    lines: list[str] = []
    line, taken = "", 0
    for word in _UNIT.sub("\\1\u00a0\\2", " ".join(text.split())).split(" "):
        cells = cell_width(word)
        if line and taken + 1 + cells > width:
            lines.append(line)
            line, taken = word, cells
        else:
            line, taken = (f"{line} {word}", taken + 1 + cells) if line else (word, cells)
    lines = [*lines, line] if line or not lines else lines
    return [part.replace("\u00a0", " ") for part in lines]


def label_lines(label: str, value: str, width: int | None, *, start: int = LABEL) -> list[str]:
    """A label in `start` cells and its value, which continues below itself on a terminal.

    `width`: of the terminal; None for a file. The line of a file may end in blanks.
    """
    line = f"{label:<{start}} {value}"
    if width is None or cell_width(line) <= width:
        return [line]
    if width - start - 1 < _LEAST_ROOM:  # below the label
        return [label.rstrip(), *(f"  {part}" for part in wrapped(value, width - 2))]
    first, *rest = wrapped(value, width - start - 1)
    return [f"{label:<{start}} {first}", *(f"{'':<{start}} {part}" for part in rest)]
