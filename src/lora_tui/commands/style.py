"""How a command draws on this output: its width, bars, and whether only ASCII is wanted."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from lora_tui.commands.context import Context
from lora_tui.commands.table import WIDE, terminal_width
from lora_tui.errors import ConfigError


class Style(NamedTuple):
    """How the texts are drawn."""

    bars: bool
    """Whether bars and curves are drawn: only on a terminal."""
    ascii_only: bool
    width: int | None = None
    """Of the terminal; None for a file."""


def style_of(context: Context) -> Style:
    """How the texts are drawn on this output; without its width, which may change."""
    if not context.out.isatty():
        return Style(bars=False, ascii_only=False)
    from lora_tui.config.load import load_preferences

    ascii_only = False
    with suppress(ConfigError):
        ascii_only = load_preferences(context.profile.paths.config_file).ascii_only
    return Style(bars=True, ascii_only=ascii_only)


def width_of(context: Context) -> int | None:
    """Cells of the terminal; None where the output is none."""
    return terminal_width(context.out.stream.fileno()) if context.out.isatty() else None


def table_width_of(context: Context) -> int | None:
    """Cells for a table: `WIDE` with --wide, else as `width_of`."""
    return WIDE if getattr(context.arguments, "wide", False) else width_of(context)
