"""What is written in place of a character that the output's encoding lacks: an ASCII drawing."""

from __future__ import annotations

import unicodedata


def substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler of `codecs`: never fails, and keeps the width where there is a drawing."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object
    found = [_form(text, position) for position in range(error.start, error.end)]
    return "".join(found), error.end


def _form(text: str, position: int) -> str:
    character = text[position]
    if character == "…":
        # in a table there is padding after it, and no room for three
        return "~" if text[position + 1 : position + 3] == "  " else "..."
    drawn = _DRAWN.get(character)
    if drawn is not None:
        return drawn
    code = ord(character)
    if 0x2500 <= code < 0x2580:  # lines of boxes; the usual ones stand in the table
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
