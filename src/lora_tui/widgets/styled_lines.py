"""Lines of styled text: the types, spans for ratings, and the widget that shows lines."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from lora_tui import formats

Span = tuple[str, str]
"""A text and the name of its style."""

_SHAPES: Final = {
    "excellent": ("◆", "excellent"),
    "good": ("●", "good"),
    "fair": ("◐", "fair"),
    "poor": ("○", "poor"),
    "overfit": ("▲", "overfit"),
}


def star_spans(score: int | None, *, ascii_only: bool = False) -> list[Span]:
    """Five cells of full and empty stars."""
    text = formats.stars(score, ascii_only=ascii_only)
    earned = 0 if score is None else min(5, max(0, score))
    return [(text[:earned], "stars"), (text[earned:], "faint")]


def favorite_sign(*, ascii_only: bool = False) -> str:
    """The sign of one's own favorites, which are not rated by it."""
    return "<3" if ascii_only else "♥"


def badge_spans(convergence: str, *, shape: bool = True, ascii_only: bool = False) -> list[Span]:
    """The convergence, with its symbol unless `shape` is false."""
    symbol, style = _SHAPES.get(convergence, ("·", "faint"))
    if not shape or ascii_only:
        return [(convergence, style)]
    return [(f"{symbol} {convergence}", style)]


Line = Sequence[Span]


def line_styles(*roles: str) -> set[str]:
    """The component classes for style names; styled_lines.tcss defines them."""
    return {f"line--{role}" for role in roles}


class StyledLines(Widget):
    """Override `lines`, and declare its styles as COMPONENT_CLASSES = line_styles(…).

    Markup in texts is not interpreted.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text()
    """Parsed with the first of these widgets, which the first frame has none of."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only

    @abstractmethod
    def lines(self, width: int) -> Sequence[Line]:
        """The lines to show, each at most `width` cells."""

    def render(self) -> Content:
        """All lines."""
        styles = {
            name.removeprefix("line--"): self.get_visual_style(name)
            for name in self.COMPONENT_CLASSES
        }
        return Content("\n").join(
            Content.assemble(*((text, styles[role]) for text, role in line))
            for line in self.lines(self.content_size.width)
        )

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002 - signature of Textual
        viewport: Size,  # noqa: ARG002
        width: int,
    ) -> int:
        """The number of lines."""
        return len(self.lines(width))
