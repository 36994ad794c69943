"""A form over a screen: what is below stays visible, and is dimmed in every theme."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen

from lora_tui.screens.base_screen import BaseScreen

Answer = TypeVar("Answer")
_DIM: Final = Style(dim=True)


class Modal(ModalScreen[Answer], BaseScreen[Answer]):
    """Every small form is one."""

    def render(self) -> RenderableType:
        """What is below, dimmed."""
        return dimmed_below(self, super().render())


def dimmed_below(screen: Screen[Answer], rendered: RenderableType) -> RenderableType:
    """As Textual renders it, except where the colours are the terminal's: those can't be mixed."""
    if isinstance(rendered, BackgroundScreen) and screen.app.current_theme.ansi:
        return _Dimmed(rendered.screen)
    return rendered


class _Dimmed:
    """A screen as dim text: a bright or reversed cursor below would look like the one that acts."""

    def __init__(self, below: Screen[object]) -> None:
        self._below = below

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn: Iterable[Segment] = console.render(self._below._compositor, options)
        for segment in drawn:
            yield segment if segment.control else Segment(segment.text, _DIM)
