"""Fits text into cells of a terminal: measures, cuts, pads and wraps it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Final

from rich.cells import cell_len, chop_cells

from lora_tui.text import fit as fit_text
from lora_tui.text import fit_ends as fit_text_ends
from lora_tui.text import terminal_safe

_ASCII_FOR: Final = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "·": "-",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "→": "->",
    }
)
_REGIONAL_A: Final = 0x1F1E6


def normalize_width(text: str, *, ascii_only: bool = False) -> str:
    """Remove characters whose width differs between terminals.

    Flags become their two letters; skin tones and variation selectors are dropped. With
    `ascii_only`, accents are dropped and characters without an ASCII form become `?`.
    """
    if text.isascii():
        return text
    kept = []
    for character in text:
        code = ord(character)
        if _REGIONAL_A <= code < _REGIONAL_A + 26:
            kept.append(chr(ord("A") + code - _REGIONAL_A))
        elif not (0x1F3FB <= code <= 0x1F3FF or 0xFE00 <= code <= 0xFE0F):
            kept.append(character)
    plain = "".join(kept)
    if not ascii_only:
        return plain
    decomposed = unicodedata.normalize("NFKD", plain.translate(_ASCII_FOR))
    return "".join(
        character if character.isascii() else "?"
        for character in decomposed
        if not unicodedata.combining(character)
    )


def fit(text: str, width: int, *, right: bool = False, ascii_only: bool = False) -> str:
    """Pad or cut the text to exactly `width` cells; a cut text ends in an ellipsis."""
    return fit_text(
        normalize_width(text, ascii_only=ascii_only),
        width,
        right=right,
        ellipsis="~" if ascii_only else "…",
        measure=cell_len,
    )


def fit_ends(text: str, width: int, *, ascii_only: bool = False) -> str:
    """Pad or cut the text to exactly `width` cells; a cut text keeps its beginning and its end."""
    return fit_text_ends(
        normalize_width(text, ascii_only=ascii_only),
        width,
        ellipsis="~" if ascii_only else "…",
        measure=cell_len,
    )


def fit_end(text: str, width: int, *, ascii_only: bool = False) -> str:
    """The text, or an ellipsis and its end where it is too long; for paths."""
    text = normalize_width(text, ascii_only=ascii_only)
    if cell_len(text) <= width:
        return text
    if width < 2:
        return ""
    while cell_len(text) > width - 1:
        text = text[1:]
    return ("~" if ascii_only else "…") + text


def fit_path(path: str, width: int, *, ascii_only: bool = False) -> str:
    """The path, or an ellipsis and as many of its last components as fit: `…/downloads/model-1`."""
    path = normalize_width(path, ascii_only=ascii_only)
    if cell_len(path) <= width:
        return path
    shortened = path
    while "/" in shortened[1:]:
        shortened = shortened[shortened.index("/", 1) :]
        if cell_len(shortened) < width:
            return ("~" if ascii_only else "…") + shortened
    return fit_end(path, width, ascii_only=ascii_only)


def shorten_paths(text: str, width: int, *, ascii_only: bool = False) -> str:
    """The text with each absolute path on one line of `width` cells, as `fit_path` does it."""
    return "\n".join(
        fit_path(line, width, ascii_only=ascii_only)
        if _is_path(line)
        else " ".join(
            fit_path(word, width, ascii_only=ascii_only) if _is_path(word) else word
            for word in line.split(" ")
        )
        for line in text.split("\n")
    )


def _is_path(text: str) -> bool:
    return text.lstrip("'\"(`").startswith(("/", "~/"))


def wrap(text: str, width: int) -> list[str]:
    """Break the text into lines of at most `width` cells, between words where possible."""
    if width <= 0:
        return []
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            candidate = f"{line} {word}" if line else word
            if cell_len(candidate) <= width:
                line = candidate
                continue
            if line:
                lines.append(line)
            *full, line = chop_cells(word, width) or [""]
            lines.extend(full)
        lines.append(line)
    return lines


def short_path(path: Path) -> str:
    """The path, safe for a terminal, with `~` for the home directory."""
    text = terminal_safe(str(path), limit=4_000)
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home fails without a home
    return f"~{text[len(home) :]}" if text == home or text.startswith(home + "/") else text
