"""Filters drawn lines: removes colours on request, and control characters always."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from lora_tui.text import printable

_BLUE: Final = 4
_WHITE: Final = Style(color="bright_white", dim=False)


class ColourFilter(LineFilter):
    """For NO_COLOR: removes colours; the cursor is shown in reverse."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same text in the terminal's default colours."""
        return [
            Segment(text, None if style is None else _plain(style), control)
            for text, style, control in segments
        ]


class CursorFilter(LineFilter):
    """For sixteen colours: text on the cursor is white, because cyan on blue is illegible.

    The terminal chooses the sixteen colours; white on blue is legible in all palettes.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same text, white on the cursor."""
        return [
            Segment(text, style if style is None else _on_cursor(style), control)
            for text, style, control in segments
        ]


class ControlCharacterFilter(LineFilter):
    """The last filter before the terminal: removes control characters of any widget."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same cells without control characters."""
        if all(text.isprintable() or control for text, _, control in segments):
            return segments
        return [
            Segment(text if control else printable(text.replace("\n", " ")), style, control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _on_cursor(style: Style) -> Style:
    on_blue = style.bgcolor is not None and style.bgcolor.number == _BLUE
    return style + _WHITE if on_blue else style


@lru_cache(1024)
def _plain(style: Style) -> Style:
    reverse = bool(style.reverse)
    if style.bgcolor is not None and not style.bgcolor.is_default:
        reverse = not reverse
    return style.without_color + Style(reverse=reverse)
