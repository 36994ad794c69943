"""Prints an answer while it comes: lines break between words, by cells, and nothing is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lora_tui.text import cell_width, terminal_safe

_PART: Final = re.compile(r"[ \t]+|\r?\n|[^ \t\r\n]+|\r")
_LONGEST_WORD: Final = 2_000
_MOST_INDENT: Final = 40


class StreamedText:
    """Feed it what has come; it writes whole words, and the rest at `end`."""

    def __init__(self, write: Callable[[str], object], width: int, *, indent: str = "") -> None:
        """`width`: cells of the terminal. `indent` begins each line."""
        self._write, self._indent = write, indent
        self._room = max(10, width - len(indent))
        self._waiting = ""
        """The end of what came, which may be the beginning of a word."""
        self._taken = 0
        """Cells that are written in this line, without its indent."""
        self._hanging = 0
        """Cells by which this line of the answer is indented."""
        self._blank = ""
        """Blanks that came after the last word."""
        self._blank_lines = 0
        self._has_text = False

    def feed(self, text: str) -> None:
        """Take more of the answer."""
        parts = _PART.findall(self._waiting + text)
        self._waiting = ""
        if parts and not parts[-1].isspace() and len(parts[-1]) < _LONGEST_WORD:
            self._waiting = parts.pop()
        for part in parts:
            self._take(part)

    def end(self) -> None:
        """Write what is left, and end the line."""
        if self._waiting:
            self._take(self._waiting)
            self._waiting = ""
        if self._taken:
            self._write("\n")
            self._taken = 0

    def _take(self, part: str) -> None:
        if "\n" in part:
            self._end_line()
        elif part.isspace():
            self._blank += part
        else:
            self._take_word(terminal_safe(part, limit=_LONGEST_WORD))

    def _end_line(self) -> None:
        if self._taken:
            self._write("\n")
        elif self._has_text:
            self._blank_lines += 1
        self._taken = self._hanging = 0
        self._blank = ""

    def _take_word(self, word: str) -> None:
        if not word:
            return
        cells = cell_width(word)
        if not self._taken:
            if self._blank_lines:
                self._write("\n")
                self._blank_lines = 0
            self._hanging = min(len(self._blank.expandtabs(4)), _MOST_INDENT, self._room // 2)
            self._begin_line()
        elif self._taken + 1 + cells > self._room:
            self._write("\n")
            self._begin_line()
        else:
            self._write(" ")
            self._taken += 1
        self._blank = ""
        self._write(word)
        self._taken += cells
        self._has_text = True

    def _begin_line(self) -> None:
        self._write(self._indent + " " * self._hanging)
        self._taken = self._hanging
