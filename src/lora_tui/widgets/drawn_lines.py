"""A widget that is lines of styled text, computed for the width that it has."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from lora_tui.widgets.stars import Span

Line = Sequence[Span]


def drawn(*roles: str) -> set[str]:
    """The component classes for the styles of spans; drawn_lines.tcss says how each looks."""
    return {f"drawn--{role}" for role in roles}


class DrawnLines(Widget):
    """Override `lines`, and declare the styles of their spans as COMPONENT_CLASSES = drawn(…).

    Text goes in as it is: nothing here parses markup.
    """

    ALLOW_SELECT = False

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only

    def lines(self, width: int) -> Sequence[Line]:
        """What to show, each line at most `width` cells."""
        raise NotImplementedError

    def render(self) -> Content:
        """The lines, one below the other."""
        styles = {
            name.removeprefix("drawn--"): self.get_visual_style(name)
            for name in self.COMPONENT_CLASSES
        }
        return Content("\n").join(
            Content.assemble(*((text, styles[role]) for text, role in line))
            for line in self.lines(self.content_size.width)
        )

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002 - as Textual calls it
        viewport: Size,  # noqa: ARG002
        width: int,
    ) -> int:
        """As many rows as there are lines."""
        return len(self.lines(width))


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, broken between words where that is possible."""
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
