"""The output of commands: no control characters, and ASCII where the encoding lacks a character."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TextIO

from lora_tui.text import printable


class Output:
    """A text stream that removes control characters from what is written."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        """The stream itself, for progress bars."""

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return self.stream.encoding

    def write(self, text: str) -> int:
        """Write text that may hold control characters; they are removed."""
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines that may hold control characters; they are removed."""
        for line in lines:
            self.write(line)

    def rewrite_line(self, text: str) -> None:
        """Replace the line of the terminal's cursor by this text."""
        self.stream.write(f"\r\x1b[K{printable(text)}")
        self.stream.flush()

    def flush(self) -> None:
        """See `TextIO.flush`."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream.isatty()


def substitute(error: UnicodeError) -> tuple[str, int]:
    """Replace what the encoding of an output lacks by ASCII; an error handler of `codecs`.

    Keeps the width of characters that have an ASCII drawing. Encoding never fails.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object
    found = [_form(text, position) for position in range(error.start, error.end)]
    return "".join(found), error.end


def _form(text: str, position: int) -> str:
    character = text[position]
    if character == "…":
        # in a table there is no room for three characters
        return "~" if text[position + 1 : position + 3] == "  " else "..."
    drawn = _DRAWN.get(character)
    if drawn is not None:
        return drawn
    code = ord(character)
    if 0x2500 <= code < 0x2580:  # other box-drawing lines than those of the table
        return "+"
    if 0x2580 <= code < 0x25A0 or 0x2800 <= code < 0x2900:  # blocks, and dots of charts
        return "#" if code not in (0x2591, 0x2800) else " "
    plain = unicodedata.normalize("NFKD", character)
    kept = "".join(c for c in plain if c.isascii() and c.isprintable())
    if kept:
        return kept
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return ""
    return "??" if unicodedata.east_asian_width(character) in "WF" else "?"


def _table(*rows: tuple[str, str]) -> dict[str, str]:
    return {character: form for characters, form in rows for character in characters}


_DRAWN = _table(
    ("★●•◆■▪▶►✔✓", "*"),
    ("☆·", "."),
    ("○◦", "o"),
    ("✗✘×", "x"),
    ("–—―−‐‑─━═╌┄┈╴╶╸╺", "-"),
    ("│┃║╎┆┊╵╷╹╻", "|"),
    ("→⟶➜▸", ">"),
    ("←⟵◂", "<"),
    ("↑▲△", "^"),
    ("↓▼▽", "v"),
    ("↻⟳", "~"),
    ("‘’‚‛′", "'"),
    ("“”„″«»", '"'),
    ("≤", "<"),
    ("≥", ">"),
    ("≈", "~"),
    ("\u00a0\u2009\u202f", " "),
    ("\u200b\u200c\u200d\u2060\ufeff", ""),
)
