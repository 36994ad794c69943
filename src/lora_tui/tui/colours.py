"""The themes, which of them suits a terminal, and filters of drawn lines.

Screens use roles ($primary, $text-muted, …), never colours, so this file alone defines a theme. Two
themes use the terminal's own colours: `ansi` its sixteen, `mono` none. The filters remove colours
on request, and control characters always.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

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


def _with_borders(
    theme: Theme, *, rest: str, hover: str, highlight: str | None = None, text: str | None = None
) -> Theme:
    """The theme with colours of borders, scrollbars and key bar, unless it has its own.

    `rest` is a border or bar without the focus, `highlight` (its primary) one that has it;
    `text` (its secondary) describes the keys.
    """
    background = theme.background or ""
    highlight = highlight or theme.primary
    surroundings = {
        "border": highlight,
        "border-blurred": rest,
        "footer-background": background,
        "footer-key-foreground": highlight,
        "footer-description-foreground": text or theme.secondary or "",
        "scrollbar": rest,
        "scrollbar-hover": hover,
        "scrollbar-active": highlight,
        "scrollbar-background": background,
        "scrollbar-background-hover": background,
        "scrollbar-background-active": background,
        "scrollbar-corner-color": background,
    }
    return replace(theme, variables={**surroundings, **theme.variables})


DARK: Final = _with_borders(
    Theme(
        name="dark",
        dark=True,
        primary="#7fb4ca",
        secondary="#8d99a8",
        accent="#e6b566",
        success="#8fbf7f",
        warning="#e09a57",
        error="#e2727a",
        foreground="#d3d9e0",
        background="#0f1317",
        surface="#151a20",
        panel="#1b222a",
        boost="#232c36",
        variables={
            "block-cursor-background": "#263542",
            "block-cursor-foreground": "#eef3f7",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#1d262f",
            "block-hover-background": "#1a2129",
            "input-selection-background": "#7fb4ca 30%",
        },
    ),
    rest="#2c3742",
    hover="#3a4855",
)

LIGHT: Final = _with_borders(
    Theme(
        name="light",
        dark=False,
        primary="#20688a",
        secondary="#5d6873",
        accent="#a56a00",
        success="#37753a",
        warning="#a8550f",
        error="#b0324a",
        foreground="#262b30",
        background="#fbfaf7",
        surface="#f4f2ed",
        panel="#ebe8e1",
        boost="#e2ded5",
        variables={
            "block-cursor-background": "#d6e4ea",
            "block-cursor-foreground": "#10202a",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#e9eced",
            "block-hover-background": "#f0eee8",
        },
    ),
    rest="#cfcabf",
    hover="#b9b3a6",
)

CONTRAST: Final = _with_borders(
    Theme(
        name="high-contrast",
        dark=True,
        primary="#5cd6ff",
        secondary="#d0d0d0",
        accent="#ffd75f",
        success="#87ff87",
        warning="#ffaf5f",
        error="#ff8787",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        boost="#303030",
        variables={
            "scrollbar": "#b0b0b0",
            "block-cursor-background": "#00468b",
            "block-cursor-foreground": "#ffffff",
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-background": "#3a3a3a",
            "block-cursor-blurred-foreground": "#ffffff",
            "block-hover-background": "#303030",
            "input-selection-background": "#005faf",
        },
    ),
    rest="#ffffff",
    hover="#ffffff",
    highlight="#ffd75f",
    text="#ffffff",
)

_TERMINAL_COLOURS: Final = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "block-cursor-text-style": "bold",
    "block-cursor-blurred-background": "ansi_default",
    "block-cursor-blurred-foreground": "ansi_default",
    "block-cursor-blurred-text-style": "bold",
    "block-hover-background": "ansi_default",
    "input-cursor-text-style": "reverse",
}

ANSI: Final = _with_borders(
    Theme(
        name="ansi",
        ansi=True,
        primary="ansi_cyan",
        secondary="ansi_default",
        accent="ansi_yellow",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_red",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **_TERMINAL_COLOURS,
            "block-cursor-background": "ansi_blue",
            "block-cursor-foreground": "ansi_bright_white",
            "input-selection-background": "ansi_blue",
            "input-selection-foreground": "ansi_bright_white",
            "screen-selection-background": "ansi_blue",
            "screen-selection-foreground": "ansi_bright_white",
        },
    ),
    rest="ansi_default",
    hover="ansi_cyan",
)

MONO: Final = _with_borders(
    Theme(
        name="mono",
        ansi=True,
        primary="ansi_default",
        secondary="ansi_default",
        accent="ansi_default",
        success="ansi_default",
        warning="ansi_default",
        error="ansi_default",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **_TERMINAL_COLOURS,
            # any background is drawn as reversed
            "block-cursor-background": "ansi_white",
            "block-cursor-foreground": "ansi_default",
            "input-selection-background": "ansi_white",
            "input-selection-foreground": "ansi_default",
            "screen-selection-background": "ansi_white",
            "screen-selection-foreground": "ansi_default",
            "link-color": "ansi_default",
            "link-color-hover": "ansi_default",
            "link-background-hover": "ansi_default",
        },
    ),
    rest="ansi_default",
    hover="ansi_default",
)

THEMES: Final = (DARK, LIGHT, CONTRAST, ANSI, MONO)


def suitable_theme(wanted: str | None, *, no_color: bool, color_system: str | None) -> str:
    """Return the name of the first theme.

    `wanted` comes from the configuration. `color_system` is Rich's result for TERM and COLORTERM:
    None for a terminal without colours, `standard` for sixteen, `256`, `truecolor`.
    """
    if no_color or (wanted is None and color_system is None):
        return MONO.name
    if wanted is not None:
        return wanted
    return ANSI.name if color_system == "standard" else DARK.name


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
